package vmm

import (
	"log/slog"
	"slices"
	"sync"

	"github.com/sharevm/vmm/internal/guard"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/kvm"
)

// doorbells is the bus.Binder that leaves writes to doorbells to the kernel.
type doorbells struct {
	to   *binding
	port bool
}

// BindDoorbell implements bus.Binder.
func (d *doorbells) BindDoorbell(b bus.Doorbell) error { return d.to.bind(d.entry(b)) }

// UnbindDoorbell implements bus.Binder.
func (d *doorbells) UnbindDoorbell(b bus.Doorbell) error { return d.to.unbind(d.entry(b)) }

func (d *doorbells) entry(b bus.Doorbell) kvm.IOEventFD {
	return kvm.IOEventFD{FD: b.Event.FD(), Addr: b.Addr, Width: b.Width, Match: b.Match, Port: d.port}
}

// binding hands doorbells to KVM, each of which costs a grace period in the kernel. Those of a machine that is being restored wait until it runs: a write to a doorbell
// that the kernel does not know yet leaves the guest, and rings by the bus.
type binding struct {
	kvm *kvm.VM
	log *slog.Logger

	mu      sync.Mutex
	held    bool
	waiting []kvm.IOEventFD
	ended   bool
	work    sync.WaitGroup
}

func (b *binding) bind(e kvm.IOEventFD) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held {
		b.waiting = append(b.waiting, e)
		return nil
	}
	return b.kvm.AssignIOEventFD(e)
}

func (b *binding) unbind(e kvm.IOEventFD) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, e); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
		return nil
	}
	return b.kvm.DeassignIOEventFD(e)
}

// hold has doorbells wait from now on, until release.
func (b *binding) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = true
}

// release binds what waits, beside the guest.
func (b *binding) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.held {
		return
	}
	b.held = false
	b.work.Go(func() {
		defer guard.Panic(b.log, "doorbells")
		for b.next() {
		}
	})
}

// next binds one, so that a device that wants to unbind one need not wait for all.
func (b *binding) next() (more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended || len(b.waiting) == 0 {
		return false
	}
	e := b.waiting[0]
	b.waiting = b.waiting[1:]
	if err := b.kvm.AssignIOEventFD(e); err != nil {
		b.log.Error("a doorbell goes on leaving the guest", "address", e.Addr, "error", err)
	}
	return true
}

// end stops that and waits for it.
func (b *binding) end() {
	b.mu.Lock()
	b.ended = true
	b.mu.Unlock()
	b.work.Wait()
}
