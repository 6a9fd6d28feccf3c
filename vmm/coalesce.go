package vmm

import (
	"sync"
	"time"
)

// coalescing ends some time after it began, and at the latest with the machine.
type coalescing struct {
	mu    sync.Mutex // held while stores are delivered outside of a vCPU's exit
	timer *time.Timer
	ended bool
}

// Coalesces says whether KVM can do what CoalescePorts asks.
func (vm *VM) Coalesces() bool { return vm.coalesced != nil }

// CoalescePorts has stores to the ports [base, base+size) delivered at the next exit of any vCPU rather than by an exit of their own, where
// KVM can do so, for a time: then they exit again, and what waits is delivered. It is for a guest's start, when it looks at all of its hardware. A store that is
// the last thing a guest does before it sleeps takes effect when the time is over, at the latest. It may be called once.
func (vm *VM) CoalescePorts(base uint16, size uint32, length time.Duration) error {
	if vm.coalesced == nil {
		return nil
	}
	if err := vm.kvm.CoalescePorts(base, size); err != nil {
		return err
	}
	c := &vm.coalescing
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(length, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.ended {
			return
		}
		if err := vm.kvm.UncoalescePorts(base, size); err != nil {
			vm.log.Error("stores to ports go on being delivered late", "error", err)
		}
		vm.coalesced.Drain(vm.log)
	})
	return nil
}

// end is called before the vCPUs, and with them the ring, are gone.
func (c *coalescing) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.timer != nil {
		c.timer.Stop()
	}
}

// StoreZone is a range of guest-physical addresses whose stores KVM can be told to collect. Its methods may be called from any goroutine.
type StoreZone struct {
	vm   *VM
	base uint64
	size uint32
}

// StoreZone returns the zone [base, base+size). It is nil where KVM cannot collect stores.
func (vm *VM) StoreZone(base uint64, size uint32) *StoreZone {
	if vm.coalesced == nil {
		return nil
	}
	return &StoreZone{vm, base, size}
}

// Collect has stores to the zone delivered at the next exit of any vCPU, or by Deliver, in place of an exit of their own; or no longer, and then those that came
// before still wait. It may be called by the device as it is delivered a store.
func (z *StoreZone) Collect(on bool) error {
	if on {
		return z.vm.kvm.CoalesceMMIO(z.base, z.size)
	}
	return z.vm.kvm.UncoalesceMMIO(z.base, z.size)
}

// Deliver delivers what waits, to all devices. A device must not call it with a lock held that its stores take.
func (z *StoreZone) Deliver() {
	c := &z.vm.coalescing
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		z.vm.coalesced.Drain(z.vm.log)
	}
}
