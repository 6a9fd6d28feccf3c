package memory

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// onDisk makes a file of size bytes that is on a disk and in no cache. It skips the test where files are in memory.
func onDisk(t *testing.T, size int) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "ram"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC || fs.Type == unix.OVERLAYFS_SUPER_MAGIC {
		t.Skip("temporary files are in memory, or may be")
	}
	if _, err := f.Write(slices.Repeat([]byte{1}, size)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := Uncache(f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestSingle has a guest touch pages of a file that is in no cache: it uses these, and no others.
func TestSingle(t *testing.T) {
	c := Config{Size: 16 << 20, LowLimit: 32 << 20, HighBase: 1 << 32, Reading: Single}
	c.From = onDisk(t, int(c.Size))
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	want := []Extent{{3, 1, false}, {5, 1, true}, {9, 2, false}, {2048, 1, false}}
	for _, e := range want {
		for page := e.First; page < e.First+e.Pages; page++ {
			b := make([]byte, 1)
			if err := g.Read(uint64(page)*savePage, b); err != nil || b[0] != 1 {
				t.Fatal(b, err)
			}
			if e.Written {
				if err := g.Write(uint64(page)*savePage, b); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	pagemap, err := Pagemap()
	if err != nil {
		t.Fatal(err)
	}
	defer pagemap.Close()
	if got, err := g.Resident(pagemap); err != nil || !slices.Equal(got, want) {
		t.Errorf("in use are %v, %v, want %v", got, err, want)
	}
	// What another one prefetches is what comes from the disk.
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Uncache(c.From); err != nil {
		t.Fatal(err)
	}
	next, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	ready := make(chan struct{})
	close(ready)
	next.Prefetch(want, ready, nil)
	for _, e := range want { // what was to be read later may not have come in time to be mapped
		for page := e.First; page < e.First+e.Pages; page++ {
			_ = next.Read(uint64(page)*savePage, make([]byte, 1))
		}
	}
	got, err := next.Resident(pagemap)
	if err != nil {
		t.Fatal(err)
	}
	written := slices.IndexFunc(got, func(e Extent) bool { return e.Written })
	if last := got[len(got)-1]; written < 0 || got[written] != want[1] || last.First > 2048 || last.First+last.Pages > 2048+joinGap {
		t.Errorf("prefetched are %v", got)
	}
}

// TestAdvice sees what the kernel is told of memory: huge pages where it is nobody's file, and how to read a file.
func TestAdvice(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("this host has no transparent huge pages")
	}
	c := Config{Size: 4 << 20, LowLimit: 32 << 20, HighBase: 1 << 32}
	f, err := os.Create(filepath.Join(t.TempDir(), "ram"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(int64(c.Size)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		from    *os.File
		reading Reading
		want    []string // of hg (huge pages), rr (read at random)
	}{{nil, Near, []string{"hg"}}, {f, Wide, []string{"hg"}}, {f, Near, nil}, {f, Single, []string{"rr"}}} {
		c.From, c.Reading, c.Backing = test.from, test.reading, Anonymous
		g, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		flags := flagsOf(t, address(g.regions[0].Host))
		for _, flag := range []string{"hg", "rr"} {
			if got, want := slices.Contains(flags, flag), slices.Contains(test.want, flag); got != want {
				t.Errorf("of a file %t, in the way %d: flag %s %t, want %t", test.from != nil, test.reading, flag, got, want)
			}
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// flagsOf are the kernel's flags of the mapping that begins at an address.
func flagsOf(t *testing.T, at uintptr) []string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut("\n"+string(b), fmt.Sprintf("\n%x-", at))
	_, rest, flags := strings.Cut(rest, "VmFlags:")
	if !found || !flags {
		t.Fatalf("no mapping begins at %#x", at)
	}
	line, _, _ := strings.Cut(rest, "\n")
	return strings.Fields(line)
}
