package vcpu

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/kvm"
)

// Coalesced brings the stores that KVM collected instead of leaving the guest to their devices. All vCPUs of a machine share it.
type Coalesced struct {
	ring  kvm.Ring
	ports *bus.Bus
	mmio  *bus.Bus

	mu sync.Mutex // a store leaves the ring only after its device has seen it, so that an empty ring needs no lock
}

// NewCoalesced returns what drains ring.
func NewCoalesced(ring kvm.Ring, ports, mmio *bus.Bus) *Coalesced {
	return &Coalesced{ring: ring, ports: ports, mmio: mmio}
}

// Drain delivers everything that is waiting, for a caller that runs no vCPU.
func (c *Coalesced) Drain(log *slog.Logger) {
	c.drain(func(access string, panicked any) {
		log.Error("device panicked", "access", access, "panic", fmt.Sprint(panicked), "stack", stack())
	})
}

// drain delivers everything that was stored before the call. What a vCPU does after its stores must be preceded by it. A device's panic is told
// to complain, and costs no more than its store.
func (c *Coalesced) drain(complain func(access string, panicked any)) {
	if c == nil || c.ring.Empty() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.ring.Empty() {
		c.deliver(complain)
	}
}

func (c *Coalesced) deliver(complain func(string, any)) {
	s := c.ring.Oldest()
	defer func() {
		c.ring.Done()
		if p := recover(); p != nil {
			complain(fmt.Sprintf("coalesced store to %#x", s.Addr), p)
		}
	}()
	to := c.mmio
	if s.Port != 0 {
		to = c.ports
	}
	to.Write(s.Addr, s.Data[:min(s.Len, 8)])
}
