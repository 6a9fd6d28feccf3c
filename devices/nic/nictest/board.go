package nictest

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
)

// RAMSize is how much RAM a board has, in bytes.
const RAMSize = 4 << 20

const (
	ecamBase = 0xb000_0000
	slot     = 1
)

// Board is a root complex with a card in it and some RAM.
type Board struct {
	RAM  *memory.Guest
	Host []byte // the same RAM

	mem, io *bus.Bus
	mu      sync.Mutex
	changed sync.Cond
	high    bool // the interrupt line is
	root    *pci.Root
}

// NewBoard returns a board without a card.
func NewBoard(t testing.TB) *Board {
	t.Helper()
	b := &Board{Host: make([]byte, RAMSize), mem: bus.New("memory", nil), io: bus.New("port", nil)}
	b.changed.L = &b.mu
	var err error
	if b.RAM, err = memory.FromRegions(memory.Region{Host: b.Host}); err != nil {
		t.Fatal(err)
	}
	return b
}

// Plug puts a card onto a new bus of the board, with its BARs assigned and decoded.
func (b *Board) Plug(t testing.TB, f *pci.Function) {
	t.Helper()
	b.mem, b.io = bus.New("memory", nil), bus.New("port", nil)
	var err error
	line := irq.LineFunc(func(high bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.high = high
		b.changed.Broadcast()
	})
	if b.root, err = pci.NewRoot(pci.Config{Memory: b.mem, IO: b.io, Buses: 1, Lines: []irq.Line{line}}, nil); err != nil {
		t.Fatal(err)
	}
	ecam, size := b.root.ECAM()
	if err := b.mem.Map(ecamBase, size, ecam); err != nil {
		t.Fatal(err)
	}
	if err := b.root.Plug(pci.Address{Device: slot}, f); err != nil {
		t.Fatal(err)
	}
	if err := b.root.Assign(pci.Windows{IO: pci.Window{Base: 0x1000, Size: 0x1000}, Mem32: pci.Window{Base: 0xe000_0000, Size: 1 << 24}}); err != nil {
		t.Fatal(err)
	}
	b.SetConfig(4, 2, 0x7)
}

// Config and SetConfig are the card's configuration space.
func (b *Board) Config(off, width int) uint64 {
	return b.load(b.mem, ecamBase+slot<<15+uint64(off), width)
}

// SetConfig writes to the card's configuration space.
func (b *Board) SetConfig(off, width int, v uint64) {
	b.store(b.mem, ecamBase+slot<<15+uint64(off), width, v)
}

// Read and Write are accesses to a BAR of the card, of any width up to 8 bytes.
func (b *Board) Read(bar int, off uint64, width int) uint64 {
	space, base := b.bar(bar)
	return b.load(space, base+off, width)
}

// Write is a store to a BAR of the card.
func (b *Board) Write(bar int, off uint64, width int, v uint64) {
	space, base := b.bar(bar)
	b.store(space, base+off, width, v)
}

func (b *Board) bar(n int) (*bus.Bus, uint64) {
	v := b.Config(0x10+4*n, 4)
	if v&1 != 0 {
		return b.io, v &^ 3
	}
	return b.mem, v &^ 15
}

func (b *Board) load(s *bus.Bus, at uint64, width int) uint64 {
	var p [8]byte
	s.Read(at, p[:width])
	return binary.LittleEndian.Uint64(p[:])
}

func (b *Board) store(s *bus.Bus, at uint64, width int, v uint64) {
	var p [8]byte
	binary.LittleEndian.PutUint64(p[:], v)
	s.Write(at, p[:width])
}

// Line says whether the card's interrupt line is high.
func (b *Board) Line() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.high
}

// AwaitLine waits for a level of the interrupt line.
func (b *Board) AwaitLine(high bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.high != high {
		b.changed.Wait()
	}
}
