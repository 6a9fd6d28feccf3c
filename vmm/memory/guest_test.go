package memory

import (
	"errors"
	"math"
	"strings"
	"testing"
	"unsafe"
)

func TestSlice(t *testing.T) {
	g, err := FromRegions(Region{Base: 0, Host: make([]byte, 0x2000)}, Region{Base: 0x10000, Host: make([]byte, 0x1000)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		gpa, n uint64
		ok     bool
	}{
		{0, 0, true}, {0, 0x2000, true}, {0, 0x2001, false}, {0x1fff, 1, true}, {0x1fff, 2, false},
		{0x2000, 0, false}, {0x2000, 1, false}, {0xffff, 2, false}, {0x10000, 0x1000, true}, {0x10fff, 1, true}, {0x10fff, 2, false},
		{math.MaxUint64, 1, false}, {math.MaxUint64, math.MaxUint64, false}, {0x1000, math.MaxUint64 - 0xfff, false}, {1, math.MaxUint64, false},
	} {
		s, err := g.Slice(c.gpa, c.n)
		if (err == nil) != c.ok {
			t.Errorf("Slice(%#x, %#x): %v", c.gpa, c.n, err)
		}
		if err == nil && (uint64(len(s)) != c.n || uint64(cap(s)) != c.n) {
			t.Errorf("Slice(%#x, %#x): len %d cap %d", c.gpa, c.n, len(s), cap(s))
		}
		if err != nil && !errors.Is(err, ErrRange) {
			t.Errorf("Slice(%#x, %#x): %v does not wrap ErrRange", c.gpa, c.n, err)
		}
	}
	if err := g.Write(0x1ffe, []byte{1, 2, 3}); err == nil {
		t.Error("write past the end of a region was taken")
	}
	if b, _ := g.Slice(0x1ffe, 2); b[0] != 0 || b[1] != 0 {
		t.Error("a refused write changed RAM")
	}
}

func TestFromRegionsRefusesOverlap(t *testing.T) {
	for _, rs := range [][]Region{
		{{Base: 0, Host: make([]byte, 2)}, {Base: 1, Host: make([]byte, 2)}},
		{{Base: 8, Host: make([]byte, 2)}, {Base: 0, Host: make([]byte, 2)}},
		{{Base: math.MaxUint64, Host: make([]byte, 2)}},
		{{Base: 0}},
	} {
		if _, err := FromRegions(rs...); err == nil {
			t.Errorf("%d regions at %#x... were taken", len(rs), rs[0].Base)
		}
	}
}

func TestNewLayout(t *testing.T) {
	for _, b := range []Backing{Auto, Memfd, Anonymous} {
		g, err := New(Config{Size: 6 << 20, LowLimit: 4 << 20, HighBase: 1 << 32, Backing: b})
		if err != nil {
			t.Fatalf("backing %d: %v", b, err)
		}
		r := g.Regions()
		if len(r) != 2 || r[0].Base != 0 || len(r[0].Host) != 4<<20 || r[1].Base != 1<<32 || len(r[1].Host) != 2<<20 || r[1].FileOffset != 4<<20 {
			t.Fatalf("backing %d: regions %+v", b, r)
		}
		for _, r := range r {
			if uintptr(unsafe.Pointer(&r.Host[0]))%hugePage != 0 {
				t.Errorf("backing %d: region at %#x is not aligned for huge pages", b, r.Base)
			}
			r.Host[0], r.Host[len(r.Host)-1] = 1, 2
		}
		if (g.FD() >= 0) != (b == Memfd) && b != Auto {
			t.Errorf("backing %d: descriptor %d", b, g.FD())
		}
		if err := g.Close(); err != nil {
			t.Errorf("backing %d: %v", b, err)
		}
	}
}

func TestNewRefusesTooMuch(t *testing.T) {
	var e *TooLargeError
	if _, err := New(Config{Size: 1 << 50, LowLimit: 1 << 31, HighBase: 1 << 32}); !errors.As(err, &e) {
		t.Errorf("1 PiB: %v", err)
	}
}

func TestHugePagesAreReservedOrRefused(t *testing.T) {
	_, err := New(Config{Size: 1 << 30, LowLimit: 2 << 30, HighBase: 4 << 30, Backing: HugeTLB})
	if err == nil {
		t.Skip("this host has a gigabyte of huge pages reserved")
	}
	if !strings.Contains(err.Error(), "vm.nr_hugepages=512") {
		t.Errorf("%v does not say what to do", err)
	}
}
