package virtiotest

import (
	"sync"

	"github.com/sharevm/vmm/vmm/irq"
)

// Interrupts is an irq.MSIAllocator whose messages end in channels: a message's data picks one.
type Interrupts struct {
	mu      sync.Mutex
	waiting map[uint32]chan struct{}
	counts  map[uint32]int
}

// NewInterrupts returns an allocator that has seen nothing.
func NewInterrupts() *Interrupts {
	return &Interrupts{waiting: map[uint32]chan struct{}{}, counts: map[uint32]int{}}
}

// NewMSI implements irq.MSIAllocator.
func (s *Interrupts) NewMSI() (irq.MSI, error) { return &msi{sink: s}, nil }

// Channel receives after a message with that data was sent; several that nobody waited for are one.
func (s *Interrupts) Channel(data uint32) <-chan struct{} { return s.channel(data) }

// Count says how many messages with that data were sent.
func (s *Interrupts) Count(data uint32) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[data]
}

func (s *Interrupts) channel(data uint32) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[data] == nil {
		s.waiting[data] = make(chan struct{}, 1)
	}
	return s.waiting[data]
}

func (s *Interrupts) send(data uint32) {
	c := s.channel(data)
	s.mu.Lock()
	s.counts[data]++
	s.mu.Unlock()
	select {
	case c <- struct{}{}:
	default:
	}
}

type msi struct {
	sink *Interrupts
	mu   sync.Mutex
	data *uint32
}

func (m *msi) SetMessage(msg *irq.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data = nil
	if msg != nil {
		data := msg.Data
		m.data = &data
	}
	return nil
}

func (m *msi) Fire() {
	m.mu.Lock()
	data := m.data
	m.mu.Unlock()
	if data != nil {
		m.sink.send(*data)
	}
}

func (m *msi) Close() error { return m.SetMessage(nil) }
