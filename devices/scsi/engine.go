package scsi

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/internal/guard"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/vmm/state"
)

// Target is a device on the bus of an Engine.
type Target struct {
	Unit Unit
	// Reads and Writes bound how fast its commands begin; nil is no bound.
	Reads, Writes *throttle.Gate
}

// EngineConfig says what an engine drives.
type EngineConfig struct {
	// Targets are the devices by their addresses, nil where there is none.
	Targets []*Target
	// Done is called with each submitted command once it has its outcome, from any goroutine and never under a lock of the engine. Calls for
	// different commands may overlap.
	Done func(*Command)
	// Executors is how many commands are carried out at the same time, all targets together; 0 means 8.
	Executors int
	// Log takes panics; nil discards them.
	Log *slog.Logger
}

const defaultExecutors = 8

// Engine is what host bus adapters have in common: it queues the commands of several targets, has executors carry them out within the targets'
// limits of rate, and takes them back. A command is Done exactly once, whatever happens to it.
type Engine struct {
	targets []*target
	done    func(*Command)
	count   int
	log     *slog.Logger

	mu       sync.Mutex
	work     sync.Cond // commands to carry out, or the end
	settled  sync.Cond // a command is done
	started  bool
	ending   bool
	next     int    // the target to look at first
	slots    []slot // what each executor is at
	giving   int    // commands that Abort is giving back
	queued   int
	running  sync.WaitGroup
	draining bool // limits of rate do not count: a pause waits
}

// target is a Target and its queue.
type target struct {
	Target
	id         int
	head, tail *Command
	held       bool // waits for a gate
	waiter     *throttle.Waiter
}

// slot is what an executor is at.
type slot struct {
	command  *Command // nil for none, or one that is already being Done and may be another by now
	busy     bool
	finished uint64 // commands so far
}

// flight is what the engine notes in a command.
type flight struct {
	next   *Command
	target *target
}

// NewEngine returns an engine that is stopped.
func NewEngine(c EngineConfig) *Engine {
	e := &Engine{done: c.Done, count: c.Executors, log: c.Log}
	if e.count == 0 {
		e.count = defaultExecutors
	}
	if e.log == nil {
		e.log = discard
	}
	e.work.L, e.settled.L = &e.mu, &e.mu
	e.slots = make([]slot, e.count)
	for id, t := range c.Targets {
		if t == nil {
			e.targets = append(e.targets, nil)
			continue
		}
		own := &target{Target: *t, id: id}
		own.waiter = throttle.NewWaiter(nil, func() { e.release(own) })
		e.targets = append(e.targets, own)
	}
	return e
}

// Present says whether there is a device at address id.
func (e *Engine) Present(id int) bool { return id >= 0 && id < len(e.targets) && e.targets[id] != nil }

// Start sets the executors to work.
func (e *Engine) Start() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.started {
		return
	}
	e.started = true
	for i := range e.count {
		e.running.Go(func() { e.executor(i) })
	}
}

// Stop carries out what has been submitted, whatever the limits of rate, and ends the executors. Nothing may be submitted meanwhile. It is
// idempotent.
func (e *Engine) Stop() {
	e.mu.Lock()
	if !e.started {
		e.mu.Unlock()
		return
	}
	e.ending, e.draining = true, true
	e.work.Broadcast()
	e.mu.Unlock()
	e.running.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.started, e.ending, e.draining = false, false, false
	for _, t := range e.targets {
		if t != nil {
			t.waiter.Stop()
			t.held = false
		}
	}
}

// Submit has c carried out by the device at address id, which must be present.
func (e *Engine) Submit(id int, c *Command) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.targets[id]
	c.flight = flight{target: t}
	if t.tail == nil {
		t.head = c
	} else {
		t.tail.next = c
	}
	t.tail = c
	e.queued++
	e.work.Signal()
}

// release lets a target try its gates again.
func (e *Engine) release(t *target) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t.held = false
	if t.head != nil {
		e.work.Signal()
	}
}

// executor carries out commands until the engine ends.
func (e *Engine) executor(at int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		c := e.pick()
		if c == nil {
			if e.ending && e.queued == 0 {
				e.work.Broadcast() // the others may be waiting for the last one that was held
				return
			}
			e.work.Wait()
			continue
		}
		s := &e.slots[at]
		s.command, s.busy = c, true
		e.mu.Unlock()
		e.serve(c)
		e.mu.Lock()
		s.command = nil
		e.mu.Unlock()
		e.giveBack(c)
		e.mu.Lock()
		s.busy = false
		s.finished++
		e.settled.Broadcast()
	}
}

// pick takes the next command that may begin, of the targets in turn. e.mu is held.
func (e *Engine) pick() *Command {
	if e.queued == 0 {
		return nil
	}
	for i := range e.targets {
		at := (e.next + i) % len(e.targets)
		t := e.targets[at]
		if t == nil || t.head == nil || !e.pass(t) {
			continue
		}
		e.next = at + 1
		c := t.head
		if t.head = c.flight.next; t.head == nil {
			t.tail = nil
		}
		c.flight.next = nil
		e.queued--
		return c
	}
	return nil
}

// pass says whether the first command of t may begin, and charges for it if so. If not, t is looked at again when it is time. e.mu is held.
func (e *Engine) pass(t *target) bool {
	if t.Reads == nil && t.Writes == nil || t.head.LUN != 0 {
		return true
	}
	cost := t.Unit.Cost(t.head)
	var gate *throttle.Gate
	switch cost.Kind {
	case Reads:
		gate = t.Reads
	case Writes:
		gate = t.Writes
	}
	if gate == nil {
		return true
	}
	if !e.draining {
		if t.held {
			return false
		}
		if !t.waiter.Pass(gate) {
			t.held = true
			return false
		}
	}
	gate.Pay(1, cost.Bytes)
	return true
}

// serve carries out c. A panic costs the guest that command.
func (e *Engine) serve(c *Command) {
	finished := false
	defer func() {
		if !finished {
			c.fail(senseInternal)
		}
	}()
	defer guard.Panic(e.log, "SCSI executor")
	if c.LUN != 0 {
		ExecuteAbsent(c)
	} else {
		c.target.Unit.Execute(c)
	}
	finished = true
}

// giveBack says that c has its outcome. The engine's lock is not held.
func (e *Engine) giveBack(c *Command) {
	defer guard.Panic(e.log, "SCSI completion")
	e.done(c)
}

// Abort takes back the commands submitted so far that match says, nil for all: those that have not begun are Done with Aborted set; those that have
// are waited for. When it returns all of them have been Done. It returns how many there were. match is called under the engine's lock.
func (e *Engine) Abort(match func(id int, c *Command) bool) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	var taken *Command
	for _, t := range e.targets {
		if t == nil {
			continue
		}
		var kept, last *Command
		for c := t.head; c != nil; {
			next := c.flight.next
			c.flight.next = nil
			switch {
			case match == nil || match(t.id, c):
				c.flight.next, taken = taken, c
				n++
			case last == nil:
				kept, last = c, c
			default:
				last.flight.next, last = c, c
			}
			c = next
		}
		t.head, t.tail = kept, last
	}
	e.queued -= n
	e.giving += n
	wait := make([]uint64, len(e.slots)) // until that many have finished
	for i, s := range e.slots {
		if s.busy && (s.command == nil || match == nil || match(s.command.target.id, s.command)) {
			wait[i] = s.finished + 1
			if s.command != nil {
				n++
			}
		}
	}
	for taken != nil {
		c := taken
		taken, c.flight.next = c.flight.next, nil
		c.Aborted = true
		e.mu.Unlock()
		e.giveBack(c)
		e.mu.Lock()
		e.giving--
	}
	e.work.Broadcast() // a Stop may have waited for them
	e.settled.Broadcast()
	for e.giving > 0 || !e.reached(wait) {
		e.settled.Wait()
	}
	return n
}

// reached says whether each executor has finished so many commands.
func (e *Engine) reached(want []uint64) bool {
	for i, s := range e.slots {
		if s.finished < want[i] {
			return false
		}
	}
	return true
}

// Reset takes back all commands of the devices at the addresses that match says, nil for all, and resets those.
func (e *Engine) Reset(match func(id int) bool, why Sense) {
	e.Abort(func(id int, _ *Command) bool { return match == nil || match(id) })
	for id, t := range e.targets {
		if t != nil && (match == nil || match(id)) {
			t.Unit.Reset(why)
		}
	}
}

const (
	engineState   = "scsi-targets"
	engineVersion = 1
)

// Save appends the state of all units. The engine is stopped.
func (e *Engine) Save(w *state.Writer) {
	w.Version(engineState, engineVersion)
	w.U16(uint16(len(e.targets)))
	for _, t := range e.targets {
		w.Bool(t != nil)
		if t != nil {
			t.Unit.Save(w)
		}
	}
}

// Restore takes back what Save wrote, with a device at each address that had one, and none elsewhere.
func (e *Engine) Restore(r *state.Reader) error {
	r.Version(engineState, engineVersion)
	if n := r.U16(); r.Err() == nil && int(n) != len(e.targets) {
		r.Fail("bus of %d addresses, this one has %d", n, len(e.targets))
	}
	for id, t := range e.targets {
		if r.Err() != nil {
			break
		}
		if present := r.Bool(); r.Err() == nil && present != (t != nil) {
			r.Fail("device at address %d: %v before, %v now", id, present, t != nil)
		}
		if r.Err() == nil && t != nil {
			if err := t.Unit.Restore(r); err != nil {
				return fmt.Errorf("device at address %d: %w", id, err)
			}
		}
	}
	return r.Err()
}
