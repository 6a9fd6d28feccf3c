package memory

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFrom saves RAM that is split around the hole and starts two guests from it.
func TestFrom(t *testing.T) {
	c := Config{Size: 24 << 20, LowLimit: 16 << 20, HighBase: 1 << 32, Backing: Anonymous}
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	marks := map[uint64]string{0: "first", 4090: "across pages", 16<<20 - 6: "at end", 1 << 32: "high", 1<<32 + 8<<20 - 4: "last"}
	for gpa, text := range marks {
		if err := g.Write(gpa, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Write(8<<20, bytes.Repeat([]byte{7}, 5<<20)); err != nil { // more than is written at a time
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "ram"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stored, sums, err := g.WriteTo(f)
	if err != nil || stored < 5<<20 || stored > 5<<20+6*4096 {
		t.Fatalf("%d bytes stored: %v", stored, err)
	}
	for i, sum := range sums {
		p := make([]byte, SumUnit)
		if _, err := f.ReadAt(p, int64(i)*SumUnit); err != nil || Sum(p) != sum {
			t.Errorf("the checksum of unit %d is %#x, the file's %#x: %v", i, sum, Sum(p), err)
		}
	}
	if want := int(c.Size / SumUnit); len(sums) != want {
		t.Errorf("%d checksums, want %d", len(sums), want)
	}
	c.From = f
	var guests []*Guest
	for range 2 {
		n, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		guests = append(guests, n)
	}
	same := func(n *Guest) {
		t.Helper()
		for i, r := range g.Regions() {
			if !bytes.Equal(r.Host, n.Regions()[i].Host) {
				t.Errorf("region %d is not what was saved", i)
			}
		}
	}
	same(guests[0])
	// What one writes, neither the other nor the file sees.
	if err := guests[0].Write(8<<20, []byte("changed")); err != nil {
		t.Fatal(err)
	}
	same(guests[1])
	// What is given back reads as zeroes, not as the file.
	p, err := guests[0].Slice(8<<20, 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := guests[0].Discard(p); err != nil || !bytes.Equal(p, make([]byte, len(p))) {
		t.Errorf("given back, RAM is not zero: %v", err)
	}
	if err := guests[0].Write(8<<20, []byte("again")); err != nil {
		t.Fatal(err)
	}
	same(guests[1])

	for _, bad := range []Config{{Size: 22 << 20, LowLimit: c.LowLimit, HighBase: c.HighBase, From: f}, {Size: 26 << 20, LowLimit: c.LowLimit, HighBase: c.HighBase, From: f}, {Size: c.Size, LowLimit: c.LowLimit, HighBase: c.HighBase, From: f, Backing: Memfd}} {
		if n, err := New(bad); err == nil {
			n.Close()
			t.Errorf("%+v is taken", bad)
		}
	}
}

// TestSaveShared saves RAM in a memfd, of which only what was touched is looked at, wherever in a unit it lies.
func TestSaveShared(t *testing.T) {
	g, err := New(Config{Size: 24 << 20, LowLimit: 16 << 20, HighBase: 1 << 32, Backing: Memfd})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, gpa := range []uint64{0, 4<<20 + 1<<20, 12<<20 - 1, 1<<32 + 8<<20 - 1} { // a unit's first byte, its middle, its last, RAM's last
		if err := g.Write(gpa, []byte{7}); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "ram"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stored, _, err := g.WriteTo(f)
	if err != nil || stored < 4*savePage || stored > 4<<20 {
		t.Errorf("%d bytes stored: %v", stored, err)
	}
	for _, r := range g.Regions() {
		got := make([]byte, len(r.Host))
		if _, err := f.ReadAt(got, r.FileOffset); err != nil || !bytes.Equal(got, r.Host) {
			t.Errorf("RAM at %#x is not what was saved: %v", r.Base, err)
		}
	}
	fd, err := unix.MemfdCreate("sealed", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	sealed := os.NewFile(uintptr(fd), "sealed")
	defer sealed.Close()
	if err := sealed.Truncate(24 << 20); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(sealed.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.WriteTo(sealed); err == nil {
		t.Error("what cannot be written is saved")
	}
}

func BenchmarkWriteTo(b *testing.B) {
	g, err := New(Config{Size: 256 << 20, LowLimit: 1 << 30, HighBase: 1 << 32, Backing: Anonymous})
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	for at := uint64(0); at < 256<<20; at += 8192 { // every other page
		if err := g.Write(at, []byte{1}); err != nil {
			b.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(b.TempDir(), "ram"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.SetBytes(256 << 20)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := g.WriteTo(f); err != nil {
			b.Fatal(err)
		}
	}
}
