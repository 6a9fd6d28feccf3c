package memory

import (
	"os"
	"path/filepath"
	"testing"
)

// TestResident finds the pages that one guest uses of a file, and has another get them in advance.
func TestResident(t *testing.T) {
	c := Config{Size: 24 << 20, LowLimit: 16 << 20, HighBase: 1 << 32}
	f, err := os.Create(filepath.Join(t.TempDir(), "ram"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(int64(c.Size)); err != nil {
		t.Fatal(err)
	}
	c.From = f
	pagemap, err := Pagemap()
	if err != nil {
		t.Fatal(err)
	}
	defer pagemap.Close()
	guest := func() *Guest {
		g, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { g.Close() })
		return g
	}
	resident := func(g *Guest) map[uint32]bool {
		all, err := g.Resident(pagemap)
		if err != nil {
			t.Fatal(err)
		}
		pages := map[uint32]bool{}
		for _, e := range all {
			for p := e.First; p < e.First+e.Pages; p++ {
				pages[p] = true
			}
		}
		return pages
	}
	g := guest()
	if n := len(resident(g)); n != 0 {
		t.Errorf("%d pages are in use from the start", n)
	}
	used := []uint32{0, 3, 4, 4095, 4096, 6143}
	for _, page := range used {
		gpa := uint64(page) * savePage
		if gpa >= c.LowLimit {
			gpa += c.HighBase - c.LowLimit
		}
		if err := g.Write(gpa, []byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	saw := resident(g)
	if len(saw) != len(used) {
		t.Errorf("%d pages are in use, want %d", len(saw), len(used))
	}
	for _, page := range used {
		if !saw[page] {
			t.Errorf("page %d is not in use", page)
		}
	}
	all, err := g.Resident(pagemap)
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	close(stopped)
	next := guest()
	next.Prefetch(append(all, Extent{6143, 1 << 31}, Extent{1<<32 - 1, 1<<32 - 1}), stopped, nil)
	now := resident(next)
	for _, page := range used {
		if !now[page] {
			t.Errorf("page %d was not fetched", page)
		}
	}
	last := guest()
	if last.Prefetch(all, nil, stopped); len(resident(last)) != 0 {
		t.Error("it goes on after its end")
	}
}
