package pci

import (
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/vmm/irq"
)

// messageSource holds the message-signalled interrupts of a function, however the guest programs them.
type messageSource struct {
	kind    string // for messages
	alloc   irq.MSIAllocator
	log     *slog.Logger
	failed  bool // an error was logged; guarded by whoever calls refresh
	vectors []vector
}

type vector struct {
	mu      sync.Mutex // makes masking exact: after it, nothing is sent
	msi     irq.MSI    // nil until first used
	message irq.Message
	open    bool // enabled, not masked, connected: fire may send
	armed   bool // enabled: fire may pend
	pending bool
}

// fire sends vector v, which must exist, or marks it pending while it is masked.
func (s *messageSource) fire(v int) {
	e := &s.vectors[v]
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.open:
		e.msi.Fire()
	case e.armed:
		e.pending = true
	}
}

// refresh makes vector i follow what the guest has written: whether it is armed, whether it may send at once, and what. Callers take turns.
func (s *messageSource) refresh(i int, armed, open bool, m irq.Message) {
	e := &s.vectors[i]
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.armed = armed; !armed {
		e.pending = false
	}
	e.open = armed && open && s.connect(i, e, m)
	if e.open && e.pending {
		e.pending = false
		e.msi.Fire()
	}
}

// connect makes e send m and says whether it does. Changing a message is a system call with an RCU grace period
// behind it, so an unchanged one is left alone however often a guest masks and unmasks.
func (s *messageSource) connect(i int, e *vector, m irq.Message) bool {
	if e.msi != nil && e.message == m {
		return true
	}
	var err error
	if e.msi == nil {
		e.msi, err = s.alloc.NewMSI()
	}
	if err == nil {
		err = e.msi.SetMessage(&m)
	}
	if err == nil {
		e.message = m
		return true
	}
	if e.msi != nil { // what it would send now is unknown
		_ = e.msi.Close()
		e.msi = nil
	}
	if !s.failed { // once: a guest can provoke it
		s.failed = true
		s.log.Warn(s.kind+" vector can't be connected", "vector", i, "error", err)
	}
	return false
}

// close gives all vectors back. Nothing is armed any more.
func (s *messageSource) close() {
	for i := range s.vectors {
		e := &s.vectors[i]
		e.mu.Lock()
		if e.msi != nil {
			if err := e.msi.Close(); err != nil {
				s.log.Warn(s.kind+" vector stays behind", "vector", i, "error", err)
			}
			e.msi = nil
		}
		e.mu.Unlock()
	}
}

// pending fills p with the pending bits from byte off of their array.
func (s *messageSource) pending(off uint64, p []byte) {
	clear(p)
	for i := range p {
		for bit := range 8 {
			v := int(off+uint64(i))*8 + bit
			if v >= len(s.vectors) {
				return
			}
			e := &s.vectors[v]
			e.mu.Lock()
			if e.pending {
				p[i] |= 1 << bit
			}
			e.mu.Unlock()
		}
	}
}

// setPending takes the pending bits of a snapshot.
func (s *messageSource) setPending(bits []byte) {
	for i := range s.vectors {
		s.vectors[i].mu.Lock()
		s.vectors[i].pending = bits[i/8]>>(i%8)&1 != 0
		s.vectors[i].mu.Unlock()
	}
}
