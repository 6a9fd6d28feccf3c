package vcpu

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/kvm"
	"github.com/sharevm/vmm/vmm/memory"
	"golang.org/x/sys/unix"
)

// kickSignal takes a thread out of the guest. The Go runtime uses SIGURG for itself and libcs reserve 32 to 34; an
// unclaimed real-time signal is caught by the runtime's handler and otherwise ignored.
const kickSignal = unix.Signal(36)

// Config is what a vCPU needs.
type Config struct {
	ID     int
	KVM    *kvm.VCPU
	Memory *memory.Guest // for the bytes at RIP in error messages
	Ports  *bus.Bus
	MMIO   *bus.Bus
	MSRs   MSRs
	// Coalesced is drained after each exit. Nil: KVM collects nothing.
	Coalesced *Coalesced
	// OnStop is told, on the vCPU's goroutine, why the vCPU stopped by itself; it is called at most once and must not block.
	OnStop func(Stop)
	// OnThread, if set, is called on the vCPU's thread when that starts, to set what is the thread's own, and ended when that ends.
	OnThread func() (ended func())
	// OnFirstEntry, if set, is called right before the guest's first instruction.
	OnFirstEntry func()
	Log          *slog.Logger
}

// Stop says why a vCPU stopped without having been told to.
type Stop struct {
	VCPU int
	// Err is nil for a triple fault, which on a PC is a reset.
	Err error
}

// MSRs answers accesses to model-specific registers that KVM does not know. A false result faults the access.
type MSRs interface {
	ReadMSR(vcpu int, index uint32) (uint64, bool)
	WriteMSR(vcpu int, index uint32, value uint64) bool
}

// VCPU is one virtual CPU. Its methods may be called from any goroutine except its own.
type VCPU struct {
	c   Config
	tid atomic.Int64 // of the thread, 0 when there is none

	mu     sync.Mutex
	cond   *sync.Cond
	pauses int  // how many Pauses are in force
	stop   bool // told to end
	parked bool // not in the guest, and not about to be
	done   bool // the goroutine has ended, or was never started

	exits   atomic.Uint64
	yielded time.Time // when last; the thread's own
	panics  int       // of devices, logged so far; the thread's own
}

// New returns a vCPU that is not yet running.
func New(c Config) *VCPU {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	v := &VCPU{c: c, done: true}
	v.cond = sync.NewCond(&v.mu)
	return v
}

// Start lets the vCPU run, on a thread of its own. It may be called once.
func (v *VCPU) Start() {
	v.mu.Lock()
	v.done = false
	v.mu.Unlock()
	go v.thread()
}

// Pause takes the vCPU out of the guest and returns once it is out, with no access half done. Calls nest.
func (v *VCPU) Pause() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.pauses++
	v.kick()
	for !v.parked && !v.done {
		v.cond.Wait()
	}
}

// Resume undoes one Pause.
func (v *VCPU) Resume() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.pauses--
	v.cond.Broadcast()
}

// Stop ends the vCPU for good and returns when its thread has left the guest. It is idempotent.
func (v *VCPU) Stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stop = true
	v.cond.Broadcast()
	v.kick()
	for !v.done {
		v.cond.Wait()
	}
}

// KVM returns the vCPU's descriptor, to read or set its registers while it is paused or before it is started.
func (v *VCPU) KVM() *kvm.VCPU { return v.c.KVM }

// Exits is how often the guest has come out so far.
func (v *VCPU) Exits() uint64 { return v.exits.Load() }

// kick follows a request; v.mu is held, so the thread cannot end meanwhile and its id cannot be another's.
func (v *VCPU) kick() {
	v.c.KVM.RequestExit()
	if tid := v.tid.Load(); tid != 0 && !v.parked {
		// An error would mean that the thread is gone, and then there is nothing to kick.
		_ = unix.Tgkill(os.Getpid(), int(tid), kickSignal)
	}
}

func (v *VCPU) thread() {
	// The thread is not handed back: it ends with the goroutine, and with it KVM's hold on it.
	runtime.LockOSThread()
	v.mu.Lock()
	v.tid.Store(int64(unix.Gettid()))
	v.mu.Unlock()
	if v.c.OnThread != nil {
		defer v.c.OnThread()()
	}
	if v.obey() {
		if v.c.OnFirstEntry != nil {
			v.c.OnFirstEntry()
		}
		v.loop()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tid.Store(0)
	v.done = true
	v.cond.Broadcast()
}

// obey sleeps while the vCPU is paused and says whether it may go on.
func (v *VCPU) obey() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for v.pauses > 0 && !v.stop {
		v.parked = true
		v.cond.Broadcast()
		v.cond.Wait()
	}
	v.parked = false
	return !v.stop
}

// loop runs the guest until the vCPU is stopped or stops by itself.
func (v *VCPU) loop() {
	for {
		stop, crashed := v.enter()
		if crashed {
			continue
		}
		if stop != nil {
			v.c.OnStop(*stop)
			// It stays where it is, to be looked at, until it is told to end.
			v.mu.Lock()
			for !v.stop {
				v.parked = true
				v.cond.Broadcast()
				v.cond.Wait()
			}
			v.mu.Unlock()
		}
		return
	}
}

// enter is the run loop proper. A panic in a device that a vCPU's access reached must not take the machine down: it is logged, the access
// is answered with what the device left, and the guest runs on.
func (v *VCPU) enter() (stop *Stop, crashed bool) {
	defer func() {
		if p := recover(); p != nil {
			v.complain(v.describeExit(), p)
			crashed = true
		}
	}()
	for {
		errno := v.c.KVM.Run()
		v.c.Coalesced.drain(v.complain)
		switch errno {
		case 0:
			if v.exits.Add(1)%yieldEvery == 0 {
				v.yield()
			}
			if stop := v.handle(); stop != nil {
				return stop, false
			}
		case unix.EINTR:
			v.c.KVM.ClearExitRequest()
			if !v.obey() {
				return nil, false
			}
		case unix.EAGAIN:
			// A vCPU that waits for its start-up IPI was woken by something else.
		default:
			return v.failed(fmt.Errorf("KVM_RUN: %w", errno)), false
		}
	}
}

// maxPanics bounds what is logged: a guest that has found an access that panics can repeat it.
const maxPanics = 16

// complain logs a device's panic in an access.
func (v *VCPU) complain(access string, panicked any) {
	if v.panics++; v.panics > maxPanics {
		return
	}
	v.c.Log.Error("device panicked in a vCPU access", "vcpu", v.c.ID, "access", access, "panic", fmt.Sprint(panicked), "stack", stack())
	if v.panics == maxPanics {
		v.c.Log.Error("further panics in accesses of this vCPU are not logged", "vcpu", v.c.ID)
	}
}

// yieldEvery is after how many exits yield looks at the clock, and timeslice is how long the vCPU goes on without yielding.
const (
	yieldEvery = 256
	timeslice  = 5 * time.Millisecond
)

// yield lets Go's scheduler see the vCPU go by, before it would count as a goroutine that hogs a processor (10 ms): the runtime's monitor thread
// then takes that processor away and, suspecting more of it, looks every 20 µs, which costs a vCPU that exits often 10 % and more.
func (v *VCPU) yield() {
	if now := time.Now(); now.Sub(v.yielded) > timeslice {
		runtime.Gosched()
		v.yielded = now
	}
}

func stack() string {
	b := make([]byte, 8<<10)
	return string(b[:runtime.Stack(b, false)])
}
