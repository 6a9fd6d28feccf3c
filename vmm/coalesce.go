package vmm

import (
	"sync"
	"time"
)

// coalescing ends some time after it began.
type coalescing struct {
	mu    sync.Mutex // held while stores are delivered at the end
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
