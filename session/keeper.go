package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sharevm/vmm/session/link"
)

// Spec is a machine that a session keeps running.
type Spec struct {
	Name    string
	Program string   // that runs it
	Args    []string // without the program's name
	// Disposable machines have nothing to lose: they start again by themselves, and are not asked when the session ends.
	Disposable bool
	// Restart says when the machine starts again by itself; "" is RestartAlways for a disposable machine, and RestartNever for others.
	Restart Restart
	// PowerOff has the machine's power button pressed when the session ends, also where Keeper.Suspend is set.
	PowerOff bool
	Clip     Clip
	// Respawn has Restart go on also where the machine keeps ending, after a pause each time.
	Respawn bool
	// Repeatable machines may run several times at once: the user can have more windows of them, which run with MoreArgs in place of Args and go when they are powered off.
	Repeatable bool
	MoreArgs   []string
	// of is the number, counted from 1, of the machine that this one is another window of.
	of int
}

// Restart says when a machine starts again by itself.
type Restart string

// The ways.
const (
	RestartNever  Restart = "never"
	RestartFailed Restart = "failed" // when its process did not end well
	RestartAlways Restart = "always"
)

// again says whether a machine that ended for a reason, "" being its guest's own wish, starts again by itself.
func (s *Spec) again(why string) bool {
	switch s.Restart {
	case "":
		return s.Disposable
	case RestartFailed:
		return why != ""
	}
	return s.Restart == RestartAlways
}

// maxWindows is how many further windows there are at once.
const maxWindows = 32

// restarts bounds how often a machine starts again by itself: at most so many times within restartWindow.
const (
	restarts      = 3
	restartWindow = time.Minute
)

// Keeper runs the machines of a session, each in a process of its own.
type Keeper struct {
	*Session
	// Suspend, if set before Run, saves the machine of a process and powers it off when the session ends. It waits for that, until ctx ends. After an error the machine runs
	// on, and its power button is pressed.
	Suspend func(ctx context.Context, pid int) error

	specs    []Spec
	out      func(name string) io.Writer
	again    chan int      // machines that the user wants to start again
	groups   *groups       // set by Run
	turnedTo chan struct{} // for prioritize to look
	opens    chan opening
	// lastPatience is how long a process may take to end whose machine's power was taken away.
	lastPatience time.Duration
	// respawnPause is how long a machine rests that keeps ending and is to be respawned.
	respawnPause time.Duration

	ran chan struct{} // closed when Run has returned

	mu        sync.Mutex // guards the following and specs, and is taken after the session's
	processes []*Process // nil where there is none
	starts    [][]time.Time
	front     int
}

// NewKeeper makes a session of machines, the first of which is in front. out is where what a machine's process prints goes.
func NewKeeper(c Config, specs []Spec, out func(name string) io.Writer) *Keeper {
	k := &Keeper{lastPatience: 10 * time.Second, respawnPause: 20 * time.Second, specs: slices.Clone(specs), out: out, again: make(chan int, len(specs)), opens: make(chan opening, 1), ran: make(chan struct{}), turnedTo: make(chan struct{}, 1), processes: make([]*Process, len(specs)), starts: make([][]time.Time, len(specs))}
	c.Restart = func(machine int) {
		select {
		case k.again <- machine:
		default:
		}
	}
	c.Another = func(machine int) {
		select {
		case k.opens <- opening{machine, make(chan opened, 1)}:
		default: // there is one to be opened already
		}
	}
	c.Turned = k.turned
	k.Session = New(c)
	for i, s := range specs {
		k.Share(k.Add(s.Name), s.Clip)
		if s.Repeatable {
			k.Repeatable(i)
		}
	}
	return k
}

// opening is a wish for another window of a machine, and opened what came of it.
type opening struct {
	machine int
	answer  chan opened
}

type opened struct {
	name string
	err  error
}

// Open opens another window of the machine of that name while Run runs, and returns the window's name. It is in front then.
func (k *Keeper) Open(name string) (string, error) {
	k.mu.Lock()
	machine := slices.IndexFunc(k.specs, func(s Spec) bool { return strings.EqualFold(s.Name, name) })
	k.mu.Unlock()
	if machine < 0 {
		return "", fmt.Errorf("%q: %w", name, ErrNoMachine)
	}
	o := opening{machine, make(chan opened, 1)}
	select {
	case k.opens <- o:
	case <-k.ran:
		return "", ErrOver
	}
	select {
	case done := <-o.answer:
		return done.name, done.err
	case <-k.ran:
		return "", ErrOver
	}
}

// ErrOver says that the session is over.
var ErrOver = errors.New("the session is over")

// open makes the place for another window of a machine. It is for Run, which alone changes specs.
func (k *Keeper) open(machine int) (number int, err error) {
	s, err := k.window(machine)
	if err != nil {
		return 0, err
	}
	number = k.Add(s.Name)
	k.Share(number, s.Clip)
	k.mu.Lock()
	defer k.mu.Unlock()
	if number == len(k.specs) {
		k.specs, k.processes, k.starts = append(k.specs, s), append(k.processes, nil), append(k.starts, nil)
	} else {
		k.specs[number], k.starts[number] = s, nil
	}
	return number, nil
}

// window is what another window of a machine is to be.
func (k *Keeper) window(machine int) (s Spec, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s = k.specs[machine]
	if s.of > 0 {
		machine = s.of - 1
		s = k.specs[machine]
	}
	if !s.Repeatable {
		return s, fmt.Errorf("%s cannot run twice: only a machine that forgets what it writes can", s.Name)
	}
	s.of, s.Args = machine+1, s.MoreArgs
	windows, taken := 0, map[string]bool{}
	for i, other := range k.specs {
		if k.processes[i] != nil {
			taken[other.Name] = true
			if other.of > 0 {
				windows++
			}
		}
	}
	if windows >= maxWindows {
		return s, fmt.Errorf("there are %d further windows already", windows)
	}
	name := s.Name
	for n := 2; s.Name == name || taken[s.Name]; n++ {
		s.Name = fmt.Sprintf("%s %d", name, n)
	}
	return s, nil
}

// turned gives the machine in front its due.
func (k *Keeper) turned(to int) {
	k.mu.Lock()
	k.front = to
	k.mu.Unlock()
	k.rank()
}

// rank has prioritize look.
func (k *Keeper) rank() {
	select {
	case k.turnedTo <- struct{}{}:
	default:
	}
}

// Run starts all machines and keeps them running until ctx ends or every one has been powered off by its guest. Then it ends those that still run: it suspends them or presses
// their power buttons, and takes their power away after patience, or when hurry is closed. What does not end even then is killed.
func (k *Keeper) Run(ctx context.Context, patience time.Duration, hurry <-chan struct{}) error {
	defer close(k.ran)
	var why error
	if k.groups, why = openGroups("/proc/self"); why != nil {
		k.cfg.Log.Debug("no control groups for machines", "why", why)
	}
	ranked, ranking := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ranked)
		k.prioritize(ranking)
	}()
	defer func() {
		close(ranking)
		<-ranked
	}()
	ended := make(chan int, len(k.specs))
	var failed error
	running := 0
	start := func(i int) {
		if err := k.start(i, ended); err != nil {
			failed = errors.Join(failed, err)
			k.Ended(i, err.Error())
			return
		}
		running++
	}
	for i := range k.specs {
		start(i)
	}
	resting := map[int]bool{} // machines that are to be respawned
	for running > 0 || len(resting) > 0 {
		select {
		case i := <-ended:
			running--
			switch k.settle(i) {
			case startAgain:
				start(i)
			case rest:
				resting[i] = true
				time.AfterFunc(k.respawnPause, func() {
					select {
					case k.again <- i:
					case <-k.done:
					}
				})
			}
		case i := <-k.again:
			delete(resting, i)
			if k.process(i) == nil {
				start(i)
			}
		case o := <-k.opens:
			i, err := k.open(o.machine)
			if err == nil {
				if err = k.start(i, ended); err == nil {
					running++
					k.Repeatable(i)
					_ = k.Turn(i) // it is there
				} else {
					k.Remove(i, o.machine)
				}
			}
			if err != nil {
				k.cfg.Log.Warn("no other window", "error", err)
			}
			o.answer <- opened{k.nameOf(i), err}
		case <-ctx.Done():
			k.end(running, ended, patience, hurry)
			return failed
		}
	}
	return failed
}

func (k *Keeper) nameOf(i int) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.specs[i].Name
}

func (k *Keeper) process(i int) *Process {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.processes[i]
}

// start starts a machine's process; its number comes by ended when that is over.
func (k *Keeper) start(i int, ended chan<- int) error {
	k.mu.Lock()
	s := k.specs[i]
	k.mu.Unlock()
	g, err := k.groups.add()
	if err != nil {
		k.cfg.Log.Warn("a machine has no control group", "machine", s.Name, "error", err)
	}
	p, err := start(s.Program, s.Args, k.out(s.Name), k.Changed, g)
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.processes[i] = p
	k.starts[i] = append(k.starts[i], time.Now())
	k.mu.Unlock()
	k.rank()
	k.Connected(i, p.Remote)
	go func() {
		<-p.Ended()
		ended <- i
	}()
	return nil
}

// fate is what becomes of a machine whose process has ended.
type fate int

const (
	staysOff   fate = iota
	startAgain      // at once
	rest            // after a pause
)

// settle tells that a machine's process is gone, and says what becomes of it.
func (k *Keeper) settle(i int) fate {
	k.mu.Lock()
	p, s := k.processes[i], k.specs[i]
	k.processes[i] = nil
	recent := 0
	for _, at := range k.starts[i] {
		if time.Since(at) < restartWindow {
			recent++
		}
	}
	k.mu.Unlock()
	why := p.Why()
	k.cfg.Log.Info("ended", "machine", s.Name, "why", why)
	if s.of > 0 {
		k.Remove(i, s.of-1)
		return staysOff
	}
	again := s.again(why)
	if why == "" {
		why = "powered off"
	}
	switch {
	case again && recent <= restarts:
		k.Ended(i, why+", it starts again")
		return startAgain
	case again && s.Respawn:
		k.Ended(i, why+", it starts again soon")
		return rest
	}
	k.Ended(i, why)
	return staysOff
}

// end ends the machines that run.
func (k *Keeper) end(running int, ended <-chan int, patience time.Duration, hurry <-chan struct{}) {
	each := func(f func(Spec, *Process)) {
		k.mu.Lock()
		defer k.mu.Unlock()
		for i, p := range k.processes {
			if p != nil {
				f(k.specs[i], p)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	suspending, suspended := 0, make(chan struct{}, len(k.specs))
	each(func(s Spec, p *Process) {
		switch {
		case s.Disposable:
			p.Remote.Power(link.TakeAway)
		case k.Suspend == nil || s.PowerOff:
			p.Remote.Power(link.PressButton)
		default:
			suspending++
			go func() {
				k.suspend(ctx, s.Name, p)
				suspended <- struct{}{}
			}()
		}
	})
	timer := time.NewTimer(patience)
	defer timer.Stop()
	if suspending > 0 {
		timer.Stop() // it takes as long as the disk takes for a guest's memory
	}
	for stage := 0; running > 0 || suspending > 0; {
		select {
		case <-suspended:
			if suspending--; suspending == 0 && stage == 0 && hurry != nil {
				timer.Reset(patience)
			}
		case i := <-ended:
			running--
			k.mu.Lock()
			k.processes[i] = nil
			k.mu.Unlock()
		case <-hurry:
			hurry = nil
			cancel()
			timer.Reset(0)
		case <-timer.C:
			if stage++; stage == 1 {
				each(func(s Spec, p *Process) {
					k.cfg.Log.Warn("does not power off: its power is taken away", "machine", s.Name)
					p.Remote.Power(link.TakeAway)
				})
			} else {
				each(func(_ Spec, p *Process) { p.Kill() })
			}
			timer.Reset(k.lastPatience)
		}
	}
}

// suspend suspends a machine, or else presses its power button.
func (k *Keeper) suspend(ctx context.Context, name string, p *Process) {
	err := k.Suspend(ctx, p.PID())
	if err == nil {
		return
	}
	select {
	case <-p.Ended(): // it was powered off at the same time
	default:
		k.cfg.Log.Warn("cannot be suspended: its power button is pressed", "machine", name, "error", err)
		p.Remote.Power(link.PressButton)
	}
}
