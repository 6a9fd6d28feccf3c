package memory

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestDiscard(t *testing.T) {
	const size, page = 4 << 20, 4096
	for name, backing := range map[string]Backing{"anonymous": Anonymous, "memfd": Memfd} {
		t.Run(name, func(t *testing.T) {
			g, err := New(Config{Size: size, LowLimit: 1 << 30, HighBase: 1 << 32, Backing: backing})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			if !g.Discards() {
				t.Fatal("does not discard")
			}
			for _, c := range []struct{ from, to, goneFrom, goneTo int }{
				{2 * page, 4 * page, 2 * page, 4 * page},
				{2*page + 1, 4*page + 1, 3 * page, 4 * page},
				{2*page - 1, 4*page - 1, 2 * page, 3 * page},
				{page + 1, 2*page - 1, 0, 0},
				{page + 1, page + 2, 0, 0},
				{page, page, 0, 0},
				{0, size, 0, size},
			} {
				ram, err := g.Slice(0, size)
				if err != nil {
					t.Fatal(err)
				}
				for i := range ram {
					ram[i] = 0xa5
				}
				if err := g.Discard(ram[c.from:c.to]); err != nil {
					t.Fatalf("%#x-%#x: %v", c.from, c.to, err)
				}
				if n := resident(t, ram, page); n != size/page-(c.goneTo-c.goneFrom)/page {
					t.Errorf("%#x-%#x: %d pages of %d are left", c.from, c.to, n, size/page)
				}
				for i, b := range ram {
					if gone := i >= c.goneFrom && i < c.goneTo; gone != (b == 0) {
						t.Fatalf("%#x-%#x: byte %#x is %#x", c.from, c.to, i, b)
					}
				}
			}
		})
	}
}

// resident counts the pages that are in memory.
func resident(t *testing.T, ram []byte, page int) (n int) {
	t.Helper()
	in := make([]byte, len(ram)/page)
	if _, _, err := unix.Syscall(unix.SYS_MINCORE, address(ram), uintptr(len(ram)), address(in)); err != 0 {
		t.Fatal(err)
	}
	for _, b := range in {
		n += int(b & 1)
	}
	return n
}

func TestDiscardLeavesMemoryOfOthers(t *testing.T) {
	host := make([]byte, 64<<10)
	host[8<<10] = 1
	g, err := FromRegions(Region{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	if g.Discards() || g.Discard(host) != nil || host[8<<10] != 1 {
		t.Error("memory of the caller's was given to the host")
	}
}

func TestMergeable(t *testing.T) {
	c := Config{Size: 4 << 20, LowLimit: 1 << 30, HighBase: 1 << 32, Mergeable: true}
	g, err := New(c)
	if err != nil {
		t.Skipf("this host's kernel does not merge: %v", err)
	}
	if g.FD() >= 0 {
		t.Error("RAM to be merged is a file")
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	for _, b := range []Backing{Memfd, HugeTLB} {
		c.Backing = b
		if _, err := New(c); err == nil {
			t.Errorf("backing %d was taken", b)
		}
	}
}
