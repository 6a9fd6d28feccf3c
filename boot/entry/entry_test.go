package entry

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/vmm/memory"
)

func guest(t *testing.T, size int) *memory.Guest {
	t.Helper()
	g, err := memory.FromRegions(memory.Region{Host: make([]byte, size)})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func load64(t *testing.T, g *memory.Guest, gpa uint64) uint64 {
	t.Helper()
	var b [8]byte
	if err := g.Read(gpa, b[:]); err != nil {
		t.Fatal(err)
	}
	return binary.LittleEndian.Uint64(b[:])
}

// walk translates a linear address as the processor would (Intel SDM volume 3, section 4.5).
func walk(t *testing.T, g *memory.Guest, cr3, linear uint64) (uint64, bool) {
	t.Helper()
	table := cr3
	for shift := 39; shift >= 21; shift -= 9 {
		e := load64(t, g, table+8*(linear>>shift&0x1FF))
		if e&3 != 3 {
			return 0, false
		}
		table = e & 0x000F_FFFF_FFFF_F000
		if shift == 21 {
			if e&0x80 == 0 {
				t.Fatalf("entry %#x is not a large page", e)
			}
			return table | linear&(2<<20-1), true
		}
	}
	return 0, false
}

func TestPrepare64(t *testing.T) {
	g := guest(t, layout.HighMemory)
	for i := range g.Regions()[0].Host {
		g.Regions()[0].Host[i] = 0xA5 // what an earlier run left behind
	}
	s, err := Prepare64(g, 0x1000200, layout.ZeroPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []uint64{0, 0x7000, 0x1000200, 0x3fffffff, 0x40000000, 0xfee00000, 0xffffffff} {
		if got, ok := walk(t, g, s.CR3, a); !ok || got != a {
			t.Errorf("%#x maps to %#x, %v", a, got, ok)
		}
	}
	for _, a := range []uint64{1 << 32, 1 << 40, 1 << 47} {
		if got, ok := walk(t, g, s.CR3, a); ok {
			t.Errorf("%#x maps to %#x, want nothing", a, got)
		}
	}
	if s.Mode != Long64 || s.RIP != 0x1000200 || s.RSI != layout.ZeroPage || s.CR0&CR0PG == 0 || s.CR4 != CR4PAE || s.EFER != EFERLME|EFERLMA || !s.CS.Long || s.CS.Big {
		t.Errorf("%+v", s)
	}
	// Flat segments in Linux's own words: GDT_ENTRY(0xa09b, 0, 0xfffff) and GDT_ENTRY(0xc093, 0, 0xfffff).
	if cs, ds := load64(t, g, s.GDT.Base+0x10), load64(t, g, s.GDT.Base+0x18); cs != 0x00af9b000000ffff || ds != 0x00cf93000000ffff {
		t.Errorf("descriptors %#x %#x", cs, ds)
	}
}

func TestPrepare32(t *testing.T) {
	g := guest(t, layout.HighMemory)
	s, err := Prepare32(g, 0x1000190, layout.StartInfo)
	if err != nil {
		t.Fatal(err)
	}
	if s.Mode != Protected32 || s.RIP != 0x1000190 || s.RBX != layout.StartInfo || s.CR0&CR0PG != 0 || s.CR0&CR0PE == 0 || s.CR3|s.CR4|s.EFER != 0 {
		t.Errorf("%+v", s)
	}
	if cs, tss := load64(t, g, s.GDT.Base+0x10), load64(t, g, s.GDT.Base+0x20); cs != 0x00cf9b000000ffff || tss != 0x00008b0000000067 {
		t.Errorf("descriptors %#x %#x", cs, tss)
	}
	if s.GDT.Limit != 0x27 {
		t.Errorf("limit %#x", s.GDT.Limit)
	}
}

func TestDescriptorBase(t *testing.T) {
	got := Segment{Base: 0x12345678, Limit: 0xABCDE, Type: typeData}.descriptor()
	if want := uint64(0x120A93345678BCDE); got != want {
		t.Errorf("%#x, want %#x", got, want)
	}
}

func TestPrepareWithoutRAM(t *testing.T) {
	g := guest(t, layout.PageTables)
	if _, err := Prepare64(g, 0, 0); !errors.Is(err, memory.ErrRange) {
		t.Errorf("Prepare64: %v", err)
	}
	if _, err := Prepare32(guest(t, layout.GDT), 0, 0); !errors.Is(err, memory.ErrRange) {
		t.Errorf("Prepare32: %v", err)
	}
}
