package pci

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/event"
	"github.com/sharevm/vmm/vmm/irq"
)

const ecamBase = 0xb000_0000

// board is a machine around a root, seen from a vCPU.
type board struct {
	*Root
	mem, io *bus.Bus
	bound   binder
	lines   [4]bool
}

func newBoard(t testing.TB, functions ...*Function) *board {
	t.Helper()
	b := &board{bound: binder{}}
	b.mem, b.io = bus.New("memory", b.bound), bus.New("port", b.bound)
	lines := make([]irq.Line, len(b.lines))
	for i := range lines {
		lines[i] = irq.LineFunc(func(high bool) {
			if b.lines[i] == high {
				t.Errorf("line %d set to %v twice", i, high)
			}
			b.lines[i] = high
		})
	}
	var err error
	if b.Root, err = NewRoot(Config{Memory: b.mem, IO: b.io, Buses: 2, Lines: lines}, nil); err != nil {
		t.Fatal(err)
	}
	ecam, size := b.ECAM()
	if err := b.mem.Map(ecamBase, size, ecam); err != nil {
		t.Fatal(err)
	}
	if err := b.io.Map(PortBase, PortSize, b.Ports()); err != nil {
		t.Fatal(err)
	}
	for i, f := range functions {
		if err := b.Plug(Address{Device: uint8(i + 1)}, f); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func load(s *bus.Bus, addr uint64, width int) uint64 {
	var p [8]byte
	s.Read(addr, p[:width])
	return binary.LittleEndian.Uint64(p[:])
}

func store(s *bus.Bus, addr uint64, width int, v uint64) {
	var p [8]byte
	binary.LittleEndian.PutUint64(p[:], v)
	s.Write(addr, p[:width])
}

// config reads from the function in a slot by ECAM.
func (b *board) config(device, off, width int) uint64 {
	return load(b.mem, ecamBase+uint64(device)<<15+uint64(off), width)
}

func (b *board) setConfig(device, off, width int, v uint64) {
	store(b.mem, ecamBase+uint64(device)<<15+uint64(off), width, v)
}

// scratch is a device of a few bytes.
type scratch struct {
	mu sync.Mutex
	b  []byte
}

func newScratch(n int) *scratch { return &scratch{b: make([]byte, n)} }

func (s *scratch) Read(off uint64, p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if copy(p, s.b[off:]) != len(p) {
		panic("an access past the end")
	}
}

func (s *scratch) Write(off uint64, p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if copy(s.b[off:], p) != len(p) {
		panic("an access past the end")
	}
}

// binder holds the doorbells that the kernel would.
type binder map[uint64]*event.Event

func (b binder) BindDoorbell(d bus.Doorbell) error {
	if b[d.Addr] != nil {
		return fmt.Errorf("two doorbells at %#x", d.Addr)
	}
	b[d.Addr] = d.Event
	return nil
}

func (b binder) UnbindDoorbell(d bus.Doorbell) error {
	if b[d.Addr] != d.Event {
		return fmt.Errorf("no such doorbell at %#x", d.Addr)
	}
	delete(b, d.Addr)
	return nil
}

// messages is an irq.MSIAllocator that writes down what it is told.
type messages struct {
	fail error
	sets int
	all  []*message
	sent []irq.Message
}

type message struct {
	to     *messages
	m      *irq.Message
	closed bool
}

func (a *messages) NewMSI() (irq.MSI, error) {
	if a.fail != nil {
		return nil, a.fail
	}
	m := &message{to: a}
	a.all = append(a.all, m)
	return m, nil
}

func (m *message) SetMessage(msg *irq.Message) error {
	if m.to.fail != nil {
		return m.to.fail
	}
	m.to.sets++
	m.m = msg
	return nil
}

func (m *message) Fire() {
	if m.m != nil {
		m.to.sent = append(m.to.sent, *m.m)
	}
}

func (m *message) Close() error {
	m.closed = true
	return nil
}

var testIdentity = Identity{Vendor: 0x1234, Device: 0x5678, SubsystemVendor: 0x9abc, Subsystem: 0xdef0, Class: 0x010802, Revision: 3}
