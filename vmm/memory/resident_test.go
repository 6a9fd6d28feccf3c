package memory

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
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
	// resident is which pages a guest uses, and whether it has written to them.
	resident := func(g *Guest) map[uint32]bool {
		all, err := g.Resident(pagemap)
		if err != nil {
			t.Fatal(err)
		}
		pages := map[uint32]bool{}
		for _, e := range all {
			for p := e.First; p < e.First+e.Pages; p++ {
				pages[p] = e.Written
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
	// What is only read may come with what lies around it in the page cache.
	const read = 2048
	if err := g.Read(read*savePage, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	saw := resident(g)
	if written, ok := saw[read]; !ok || written {
		t.Errorf("page %d was read: in use %t, written %t", read, ok, written)
	}
	written := 0
	for _, w := range saw {
		if w {
			written++
		}
	}
	if written != len(used) {
		t.Errorf("%d pages were written to, want %d", written, len(used))
	}
	for _, page := range used {
		if !saw[page] {
			t.Errorf("page %d was not written to", page)
		}
	}
	all, err := g.Resident(pagemap)
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	close(stopped)
	next := guest()
	// A snapshot's folder may hold anything.
	next.Prefetch(append(all, Extent{6143, 1 << 31, false}, Extent{6144, 1 << 31, false}, Extent{1<<32 - 1, 1<<32 - 1, true}), stopped, nil)
	now := resident(next)
	for page, written := range saw {
		if got, ok := now[page]; !ok || got != written {
			t.Errorf("page %d: fetched %t, as one that is written to %t, want %t", page, ok, got, written)
		}
	}
	if b := make([]byte, 1); next.Read(0, b) != nil || b[0] != 0 {
		t.Error("what one guest wrote the other sees")
	}
	early, begun := guest(), make(chan struct{})
	time.AfterFunc(50*time.Millisecond, func() { close(begun) })
	if early.Prefetch(all, nil, begun); len(resident(early)) != 0 {
		t.Error("it maps pages before it may")
	}
	last := guest()
	if last.Prefetch(all, nil, stopped); len(resident(last)) != 0 {
		t.Error("it goes on after its end")
	}
}

// TestJoined joins what lies near each other, in one region, and nothing else.
func TestJoined(t *testing.T) {
	g, err := New(Config{Size: 24 << 20, LowLimit: 16 << 20, HighBase: 1 << 32})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	const low = 4096 // pages in the lower region
	for _, c := range []struct{ all, want []Extent }{
		{nil, nil},
		{[]Extent{{1, 2, true}, {3, 1, false}, {4 + joinGap, 5, false}, {10 + 2*joinGap, 1, true}}, []Extent{{1, 8 + joinGap, true}, {10 + 2*joinGap, 1, true}}},
		{[]Extent{{low - 2, 2, false}, {low, 2, false}}, []Extent{{low - 2, 2, false}, {low, 2, false}}},
		{[]Extent{{6143, 1 << 31, false}, {6144, 1 << 31, false}, {1<<32 - 1, 1<<32 - 1, true}}, []Extent{{6143, 1 << 31, false}, {6144, 1 << 31, false}, {1<<32 - 1, 1<<32 - 1, true}}},
		{[]Extent{{1, 1<<32 - 1, false}, {1<<32 - 1, 2, false}}, []Extent{{1, 1<<32 - 1, false}, {1<<32 - 1, 2, false}}},
	} {
		if got := g.joined(c.all); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.all, got, c.want)
		}
	}
}
