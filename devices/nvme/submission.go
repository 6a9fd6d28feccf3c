package nvme

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/internal/worker"
	"github.com/sharevm/vmm/vmm/event"
)

const (
	// maxInline is the longest transfer, in bytes, that a lane carries out itself when there is more to do: a longer one is worth an executor,
	// which copies while the lane goes on.
	maxInline = 64 << 10
	// publishAfter is for how long a lane keeps from the driver what it has done already, so that one interrupt tells of many commands.
	publishAfter = 50 * time.Microsecond
)

// submission is a submission queue with its lane.
type submission struct {
	dev  *Controller
	id   uint16
	base uint64
	size uint32 // entries
	ring []byte
	cq   *completion

	kick *event.Event
	lane worker.Group
	tail atomic.Uint32 // as last rung
	head atomic.Uint32 // the lane's own; completions tell it

	bufferMu sync.Mutex
	buffers  doorbellBuffer // guarded by bufferMu

	// The lane's own.
	raw    [commandSize]byte
	cmd    command
	batch  []*request // taken, not yet on their way
	spare  []*request // free slots
	slots  int        // that exist; they are made as a driver comes to need them
	waiter *throttle.Waiter
	pages  pages // of admin commands

	mu      sync.Mutex // guards what follows
	idle    sync.Cond  // flying has become 0
	free    []*request // slots that came back
	flying  int        // commands on their way
	starved bool       // the lane waits for a slot
}

// newSubmission returns an empty queue over guest memory, whose lane does not run yet.
func (d *Controller) newSubmission(id uint16, base uint64, size uint32, cq *completion) (*submission, error) {
	if size < 2 {
		return nil, errQueueSize
	}
	ring, err := d.mem.Slice(base, uint64(size)*commandSize)
	if err != nil {
		return nil, err
	}
	q := &submission{dev: d, id: id, base: base, size: size, ring: ring, cq: cq, kick: d.kicks[id], buffers: d.shadow.of(2 * id)}
	q.idle.L = &q.mu
	q.pages.mem = d.mem
	q.waiter = throttle.NewWaiter(nil, q.kick.Signal)
	return q, nil
}

// start sets the lane to work.
func (q *submission) start() {
	run := q.serve
	if q.id == 0 {
		run = q.serveAdmin
	}
	q.lane.Go(fmt.Sprintf("submission queue %d", q.id), q.kick.Signal, run, q.dev.fail)
}

// ringBell is a write to the queue's doorbell. It returns false where the value cannot be.
func (q *submission) ringBell(v uint32) bool {
	if v >= q.size {
		return false
	}
	q.tail.Store(v)
	q.kick.Signal()
	return true
}

func (q *submission) setBuffers(b doorbellBuffer) {
	q.bufferMu.Lock()
	defer q.bufferMu.Unlock()
	q.buffers = b
}

// end is the tail as far as the driver has told. What it leaves in a doorbell buffer and cannot be is ignored.
func (q *submission) end() uint32 {
	q.bufferMu.Lock()
	defer q.bufferMu.Unlock()
	if q.buffers.used() {
		if v := q.buffers.value(); v < q.size {
			q.tail.Store(v)
		}
	}
	return q.tail.Load()
}

// asleep has the driver ring when it adds commands, and says whether it has not added any before it could see that.
func (q *submission) asleep() bool {
	q.bufferMu.Lock()
	if q.buffers.used() {
		q.buffers.watch(q.tail.Load())
	}
	q.bufferMu.Unlock()
	return q.end() == q.head.Load()
}

// peek copies the next command into q.cmd. It returns false when there is none.
func (q *submission) peek() bool {
	head := q.head.Load()
	if head == q.end() {
		return false
	}
	copy(q.raw[:], q.ring[head*commandSize:])
	q.cmd.parse(&q.raw)
	return true
}

// take moves past the command that peek has found.
func (q *submission) take() {
	if head := q.head.Load() + 1; head < q.size {
		q.head.Store(head)
	} else {
		q.head.Store(0)
	}
}

// serve takes I/O commands and sends them on their way in batches. While none can be taken, for whatever reason, it waits for the doorbell, which all
// that may change that rings as well.
func (q *submission) serve() error {
	defer q.waiter.Stop()
	for !q.lane.Stopping() {
		empty := q.gather()
		if len(q.batch) > 0 {
			q.dispatch()
			continue
		}
		if empty && !q.asleep() {
			continue
		}
		if err := q.kick.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// refill sees to it that there is a spare slot. When all are in flight it returns false, and the next one to come back wakes the lane.
func (q *submission) refill() bool {
	if len(q.spare) > 0 {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare, q.free = q.free, q.spare
	if len(q.spare) == 0 && q.slots < slotsPerLane {
		q.slots++
		q.spare = append(q.spare, &request{queue: q, pages: pages{mem: q.dev.mem, pieces: make([][]byte, 0, maxPieces)}})
	}
	q.starved = len(q.spare) == 0
	return !q.starved
}

// gather fills the batch with checked commands that may begin. It returns true when it has seen the queue's end.
func (q *submission) gather() (empty bool) {
	q.batch = q.batch[:0]
	for q.refill() {
		if !q.peek() {
			return true
		}
		if !q.cq.reserve() {
			return false
		}
		r := q.spare[len(q.spare)-1]
		r.parse(&q.cmd)
		if !q.pass(r) {
			q.cq.release()
			return false
		}
		q.take()
		q.spare = q.spare[:len(q.spare)-1]
		q.batch = append(q.batch, r)
	}
	return false
}

// dispatch has the requests of the batch carried out.
func (q *submission) dispatch() {
	q.mu.Lock()
	alone := q.flying == 0 && len(q.batch) == 1
	q.flying += len(q.batch)
	q.mu.Unlock()
	var unpublished time.Duration
	for _, r := range q.batch {
		if r.reachesImage() && !(r.isTransfer() && (alone || r.length <= maxInline) && r.ns.pace.Quick()) {
			q.dev.jobs <- r // never blocks: there is room for every slot
			continue
		}
		if unpublished += r.serve(); unpublished >= publishAfter {
			unpublished = 0
			q.cq.publish()
		}
	}
	q.cq.publish()
}

// settle takes a request back that was served, with its slot.
func (q *submission) settle(r *request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free = append(q.free, r)
	if q.flying--; q.flying == 0 {
		q.idle.Broadcast()
	}
	if q.starved {
		q.starved = false
		q.kick.Signal()
	}
}

// stop ends the lane and waits for its requests.
func (q *submission) stop() {
	q.lane.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.flying > 0 {
		q.idle.Wait()
	}
}
