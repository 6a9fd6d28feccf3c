package parcel

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/machine/snapshot"
	"github.com/sharevm/vmm/vmm/memory"
)

// fill makes a snapshot's folder: files with holes, with text, with noise, an empty one, and one that is left out.
func fill(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	noise := make([]byte, memory.SumUnit+5)
	chacha := rand.NewChaCha8([32]byte{1})
	_, _ = chacha.Read(noise)
	for _, w := range []struct {
		name string
		size int64
		at   map[int64][]byte
	}{
		{snapshot.StateFile, 1000, map[int64][]byte{0: bytes.Repeat([]byte("state "), 100)}},
		{snapshot.MemoryFile, 64<<20 + 4096, map[int64][]byte{4096: []byte("low"), 9 << 20: noise, 33 << 20: make([]byte, 3<<20), 64 << 20: []byte("high")}},
		{snapshot.PagesFile, 0, nil},
		{snapshot.SumsFile, 9, map[int64][]byte{0: []byte("checksums")}},
		{"disk-scsi0:1", 5 << 20, map[int64][]byte{3 << 20: bytes.Repeat([]byte("written"), 99999)}},
		{"disks", 2, map[int64][]byte{0: []byte("[]")}},
	} {
		f, err := os.Create(filepath.Join(dir, w.name))
		if err != nil {
			t.Fatal(err)
		}
		for at, b := range w.at {
			if _, err := f.WriteAt(b, at); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(f.Truncate(w.size), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func pack(t testing.TB, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Pack(t.Context(), &b, dir, []Disk{{"root.vmdk", "00"}}, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpack opens a parcel into a folder.
func unpack(ctx context.Context, b []byte, dir string) (*Contents, error) {
	r := bytes.NewReader(b)
	c, err := ReadContents(r)
	if err != nil {
		return nil, err
	}
	files := map[string]*os.File{}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for _, name := range c.Names() {
		if files[name], err = os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
			return nil, err
		}
	}
	return c, c.Unpack(ctx, r, files, nil)
}

// TestRoundTrip packs a snapshot and unpacks it: its files are the same, their holes too, and the list of disks is not taken along.
func TestRoundTrip(t *testing.T) {
	from, to := fill(t), t.TempDir()
	b := pack(t, from)
	if len(b) > 3*memory.SumUnit/2 {
		t.Errorf("the parcel has %d bytes", len(b))
	}
	c, err := unpack(t.Context(), b, to)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Files) != 5 || len(c.Disks) != 1 || c.Disks[0].Path != "root.vmdk" {
		t.Errorf("%+v", c)
	}
	var taken int64
	for _, f := range c.Files {
		want, err1 := os.ReadFile(filepath.Join(from, f.Name))
		got, err2 := os.ReadFile(filepath.Join(to, f.Name))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, got) {
			t.Errorf("%s is not what it was", f.Name)
		}
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(to, f.Name), &st); err != nil {
			t.Fatal(err)
		}
		taken += st.Blocks * 512
	}
	if taken > c.Room() || taken > 5<<20 {
		t.Errorf("the files take %d bytes, and the parcel says %d at most", taken, c.Room())
	}
}

// TestDamaged cuts a parcel everywhere, changes bytes of it, and puts something behind it: each time it is refused as damaged.
func TestDamaged(t *testing.T) {
	b, to := pack(t, fill(t)), t.TempDir()
	bad := func(what string, b []byte) {
		t.Helper()
		if _, err := unpack(t.Context(), b, to); !errors.Is(err, snapshot.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	bad("nothing", nil)
	bad("one byte more", append(bytes.Clone(b), 0))
	for range 15 {
		bad("cut", b[:rand.IntN(len(b))])
		changed := bytes.Clone(b)
		changed[rand.IntN(len(b))] ^= 1 << rand.IntN(8)
		bad("changed", changed)
	}
}

// TestContents refuses lists that no snapshot has.
func TestContents(t *testing.T) {
	good := Contents{Files: []File{{snapshot.StateFile, 9, 9}, {snapshot.MemoryFile, 1 << 30, 1 << 20}, {"disk-scsi0:0", 0, 0}, {"disk-floppy0", 1, 0}}, Disks: []Disk{{"a/b.vmdk", ""}}}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(c *Contents){
		"path":           func(c *Contents) { c.Files[2].Name = "../disk-scsi0:0" },
		"folder":         func(c *Contents) { c.Files[2].Name = "disk-scsi0:0/x" },
		"dots":           func(c *Contents) { c.Files[2].Name = "disk-.." },
		"another name":   func(c *Contents) { c.Files[2].Name = "disks" },
		"identity":       func(c *Contents) { c.Files[2].Name = "identity" },
		"no name":        func(c *Contents) { c.Files[2].Name = "" },
		"twice":          func(c *Contents) { c.Files[2].Name = snapshot.MemoryFile },
		"no memory":      func(c *Contents) { c.Files = c.Files[:1] },
		"negative":       func(c *Contents) { c.Files[1].Size = -1 },
		"huge":           func(c *Contents) { c.Files[1].Size = 1 << 60 },
		"more than size": func(c *Contents) { c.Files[1].Data = 1<<30 + 1 },
		"disk outside":   func(c *Contents) { c.Disks[0].Path = "../b.vmdk" },
		"disk from root": func(c *Contents) { c.Disks[0].Path = "/b.vmdk" },
		"many files":     func(c *Contents) { c.Files = make([]File, maxFiles+1) },
	} {
		c := Contents{Files: append([]File(nil), good.Files...), Disks: append([]Disk(nil), good.Disks...)}
		change(&c)
		var b bytes.Buffer
		if err := c.check(); !errors.Is(err, snapshot.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.write(&b); err == nil || b.Len() > 0 {
			t.Errorf("%s was written", name)
		}
	}
}

// TestBombs has parcels hold more than they say: pieces that swell, come twice, or lie beyond a file's end.
func TestBombs(t *testing.T) {
	from, to := fill(t), t.TempDir()
	for name, test := range map[string]struct {
		change func(c *Contents)
		want   string
	}{
		"more data than listed": {func(c *Contents) { c.Files[1].Data = memory.SumUnit }, "more than its list says"},
		"a file that is small":  {func(c *Contents) { c.Files[1].Size, c.Files[1].Data = 3<<20, 3<<20 }, "beyond its end"},
		"a unit that is short":  {func(c *Contents) { c.Files[1].Size -= 4000 }, "not what was packed"},
		"fewer files":           {func(c *Contents) { c.Files = c.Files[:4] }, "of file 4 of 4"},
	} {
		b := pack(t, from)
		r := bytes.NewReader(b)
		c, err := ReadContents(r)
		if err != nil {
			t.Fatal(err)
		}
		rest := b[len(b)-r.Len():]
		if c.Files[1].Name != snapshot.MemoryFile || len(c.Files) != 5 {
			t.Fatalf("%+v", c.Files)
		}
		test.change(c)
		var changed bytes.Buffer
		if err := c.write(&changed); err != nil {
			t.Fatal(err)
		}
		changed.Write(rest)
		if _, err := unpack(t.Context(), changed.Bytes(), to); !errors.Is(err, snapshot.ErrCorrupt) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// TestInterrupted ends packing and unpacking in their middle.
func TestInterrupted(t *testing.T) {
	dir := fill(t)
	b := pack(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Pack(ctx, new(bytes.Buffer), dir, nil, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := unpack(ctx, b, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// FuzzUnpack opens parcels that anybody wrote. What is opened without an error can be packed again.
func FuzzUnpack(f *testing.F) {
	f.Add(pack(f, fill(f)))
	small := f.TempDir()
	for name, text := range map[string]string{snapshot.StateFile: "state", snapshot.MemoryFile: strings.Repeat("m", 9999)} {
		if err := os.WriteFile(filepath.Join(small, name), []byte(text), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(pack(f, small))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if _, err := unpack(t.Context(), b, dir); err != nil {
			return
		}
		pack(t, dir)
	})
}
