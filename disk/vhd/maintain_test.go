package vhd_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhd"
)

// maintained returns the subjects for the suites of what changes an image's file.
func maintained() map[string]disktest.Subject {
	all := subjects()
	for name, s := range all {
		s.Repair = vhd.Repair
		s.Parents = name != "fixed"
		all[name] = s
	}
	return all
}

func TestResize(t *testing.T) {
	for name, s := range maintained() {
		t.Run(name, func(t *testing.T) { disktest.Resize(t, s) })
	}
}

func TestRelink(t *testing.T) {
	for name, s := range maintained() {
		if s.Parents {
			t.Run(name, func(t *testing.T) { disktest.Relink(t, s) })
		}
	}
}

func TestArrange(t *testing.T) {
	for name, s := range maintained() {
		if name == "dynamic" {
			s.Options.BlockSize = 512 << 10 // a crash takes as long as a block is large
		}
		if s.Parents {
			t.Run(name, func(t *testing.T) { disktest.Arrange(t, s) })
		}
	}
}

// TestFixedRefused asks of a fixed disk what only blocks can do.
func TestFixedRefused(t *testing.T) {
	files := disktest.NewRecorder()
	files.Put(path, written(t, "fixed"))
	files.Put("d/parent.vhd", written(t, "dynamic"))
	i, err := vhd.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Arenas(); !errors.Is(err, disk.ErrUnsupported) {
		t.Errorf("arenas: %v, want ErrUnsupported", err)
	}
	if err := i.Relink("d/parent.vhd", ""); !errors.Is(err, disk.ErrUnsupported) {
		t.Errorf("relink: %v, want ErrUnsupported", err)
	}
	if files.Events() > 0 {
		t.Error("the file was changed")
	}
}

// TestLimits asks for more than a VHD can be.
func TestLimits(t *testing.T) {
	for _, variant := range []string{"dynamic", "fixed"} {
		files := disktest.NewRecorder()
		files.Put(path, written(t, variant))
		i, err := vhd.Open(path, disk.OpenOptions{Files: files})
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Resize(2040<<30 + 512); !errors.Is(err, disk.ErrUnsupported) {
			t.Errorf("%s: %v, want ErrUnsupported", variant, err)
		}
		if err := i.Resize(200 << 30); variant == "dynamic" && !errors.Is(err, disk.ErrUnsupported) { // 13 million blocks of 16 KiB
			t.Errorf("%s: too many blocks: %v, want ErrUnsupported", variant, err)
		}
	}
}

// TestTableInTheWay grows a disk whose parent locators lie right behind its table, so that the table has to go elsewhere.
func TestTableInTheWay(t *testing.T) {
	const size, grown = 1 << 20, 65 << 20
	rec := disktest.NewRecorder()
	parent := bytes.Repeat([]byte{0x5a}, 2<<20)
	for _, p := range []string{path, "d/parent.vhd"} {
		o := disk.CreateOptions{Size: size, BlockSize: 64 << 10, Files: rec}
		if p != path {
			o.Size = int64(len(parent))
		}
		create(t, p, o)
	}
	i, err := vhd.Open("d/parent.vhd", disk.OpenOptions{Files: rec})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.WriteAt(parent, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(i.Flush(), i.Close()); err != nil {
		t.Fatal(err)
	}
	if i, err = vhd.Open(path, disk.OpenOptions{Files: rec}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(i.Relink("d/parent.vhd", ""), i.Close()); err != nil {
		t.Fatal(err)
	}
	rec.Settle()

	want := func(n int64) []byte { return append(bytes.Clone(parent[:size]), make([]byte, n-size)...) }
	if i, err = vhd.Open(path, disk.OpenOptions{Files: rec}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(i.Resize(grown), i.Close()); err != nil {
		t.Fatal(err)
	}
	if at, entries := tableOf(rec.Get(path)); at == tableAt || entries != grown>>16 {
		t.Fatalf("a table of %d entries at %d: this tests nothing", entries, at)
	}
	done := rec.Events()
	states, err := rec.Crashes(rand.New(rand.NewPCG(1, 2)), 4, func(n int, left *disktest.Recorder) error {
		for range 2 { // the second time as recovered
			i, err := vhd.Open(path, disk.OpenOptions{Files: left})
			if err != nil {
				return err
			}
			if i.Size() != grown && (i.Size() != size || n == done) {
				return fmt.Errorf("%d bytes", i.Size())
			}
			got := make([]byte, i.Size())
			if _, err := i.ReadAt(got, 0); err != nil || !bytes.Equal(got, want(i.Size())) {
				return fmt.Errorf("does not read as it should (%w)", err)
			}
			if err := i.Close(); err != nil {
				return err
			}
			if r, err := vhd.Check(path, disk.OpenOptions{Files: left}); err != nil || len(r.Problems) > 0 {
				return fmt.Errorf("check: %+v, %w", r, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events, %d crashes", done, states)
}

// TestKeepIdentity writes to a parent long after its child was made: the child notices, unless it was not to.
func TestKeepIdentity(t *testing.T) {
	for _, keep := range []bool{true, false} {
		child, parent := family(t)
		ago := time.Now().Add(-time.Hour)
		if err := os.Chtimes(parent, ago, ago); err != nil {
			t.Fatal(err)
		}
		i, err := vhd.Open(child, disk.OpenOptions{Alone: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(i.Relink(parent, ""), i.Close()); err != nil {
			t.Fatal(err)
		}
		img, err := os.ReadFile(parent) // made even longer ago
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range footers(img) {
			put32(f[24:], 1000)
		}
		vhd.Mend(img)
		if err := errors.Join(os.WriteFile(parent, img, 0o600), os.Chtimes(parent, ago, ago)); err != nil {
			t.Fatal(err)
		}

		if i, err = vhd.Open(parent, disk.OpenOptions{KeepIdentity: keep}); err != nil {
			t.Fatal(err)
		}
		if _, err := i.WriteAt([]byte{1}, 0); err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(parent); err != nil || st.ModTime().Sub(ago).Abs() < time.Second != keep { // whenever the writer dies
			t.Errorf("keep %t: changed at %v, was %v (%v)", keep, st.ModTime(), ago, err)
		}
		if err := errors.Join(i.WriteZeroes(512, 512, true), i.Discard(0, 1<<14), i.Flush(), i.Resize(1<<20), i.Close()); err != nil {
			t.Fatal(err)
		}
		i, err = vhd.Open(child, disk.OpenOptions{})
		if err == nil {
			i.Close()
		}
		if keep && err != nil || !keep && !errors.Is(err, disk.ErrStaleParent) {
			t.Errorf("keep %t: %v", keep, err)
		}
	}
}

// TestResizeTorn replays the crashes of a growth and a shrinkage many times: what tells right from wrong there is few sectors, and chance decides
// which of them a crash loses.
func TestResizeTorn(t *testing.T) {
	const small, large = 1 << 20, 70<<20 + 512
	for _, o := range []disk.CreateOptions{{Variant: "fixed"}, {BlockSize: 4 << 10}} {
		for _, way := range [][2]int64{{small, large}, {large, small}} {
			rec := disktest.NewRecorder()
			o.Size, o.Files = way[0], rec
			create(t, path, o)
			i, err := vhd.Open(path, disk.OpenOptions{Files: rec})
			if err != nil {
				t.Fatal(err)
			}
			want := bytes.Repeat([]byte{0x5a}, small)
			if _, err := i.WriteAt(want, 0); err != nil {
				t.Fatal(err)
			}
			if err := i.Close(); err != nil {
				t.Fatal(err)
			}
			rec.Settle()
			if i, err = vhd.Open(path, disk.OpenOptions{Files: rec}); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(i.Resize(way[1]), i.Close()); err != nil {
				t.Fatal(err)
			}
			done := rec.Events()
			for seed := range uint64(20) {
				_, err := rec.Crashes(rand.New(rand.NewPCG(seed, 3)), done, func(n int, left *disktest.Recorder) error {
					i, err := vhd.Open(path, disk.OpenOptions{ReadOnly: true, Files: left})
					if err != nil {
						return err
					}
					defer i.Close()
					if i.Size() != way[1] && (i.Size() != way[0] || n == done) {
						return fmt.Errorf("%d bytes", i.Size())
					}
					got := make([]byte, small+4096)
					n = int(min(i.Size(), int64(len(got))))
					if _, err := i.ReadAt(got[:n], 0); err != nil || !bytes.Equal(got[:small], want) || !bytes.Equal(got[small:], make([]byte, 4096)) {
						return fmt.Errorf("does not read as it should (%w)", err)
					}
					return nil
				})
				if err != nil {
					t.Fatalf("%+v, to %d, seed %d: %v", o.Variant, way[1], seed, err)
				}
			}
		}
	}
}
