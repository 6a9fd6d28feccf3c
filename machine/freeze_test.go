package machine

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/machine/control"
)

// freezable is a machine without a board that has one VMDK of a MiB, whose first bytes are "before".
func freezable(t *testing.T) (m *Machine, base string) {
	t.Helper()
	return freezableOf(t, disk.CreateOptions{Size: 1 << 20})
}

func freezableOf(t *testing.T, o disk.CreateOptions) (m *Machine, base string) {
	t.Helper()
	base = filepath.Join(t.TempDir(), "disk.vmdk")
	if err := formats.Create(base, o); err != nil {
		t.Fatal(err)
	}
	d := config.Disk{Address: config.Address{Bus: config.Bus{Kind: config.BusSCSI}}, Media: config.MediaDisk, Path: base, Format: config.FormatVMDK, Connected: true}
	m = &Machine{cfg: &config.Machine{Disks: []config.Disk{d}}, log: slog.New(slog.DiscardHandler)}
	img, err := openDisk(m.cfg, &m.cfg.Disks[0], false, "", m.log)
	if err != nil {
		t.Fatal(err)
	}
	m.disks = []disk.Image{img}
	t.Cleanup(func() { m.disks[0].Close() })
	writeDisk(t, m, "before")
	return m, base
}

func writeDisk(t *testing.T, m *Machine, text string) {
	t.Helper()
	if _, err := m.disks[0].WriteAt([]byte(text), 0); err != nil {
		t.Fatal(err)
	}
	if err := m.disks[0].Flush(); err != nil {
		t.Fatal(err)
	}
}

// child makes a child of an image that is in use, and opens what it consists of.
func child(t *testing.T, base string) (c control.Child, files map[string]*os.File) {
	t.Helper()
	path := strings.TrimSuffix(base, ".vmdk") + "-000001.vmdk"
	shared := func(path string, o disk.OpenOptions) (disk.Image, error) {
		o.Shared = true
		return formats.Open(path, o)
	}
	if err := formats.Create(path, disk.CreateOptions{Parent: base, Parents: shared}); err != nil {
		t.Fatal(err)
	}
	img, err := formats.Open(path, disk.OpenOptions{ReadOnly: true, Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	c = control.Child{Disk: "scsi0:0", Path: path, Files: map[string]string{}}
	files = map[string]*os.File{}
	for i, path := range img.Info().Files {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		name := string(rune('a' + i))
		files[name], c.Files[path] = f, name
	}
	return c, files
}

func firstBytes(t *testing.T, path string) string {
	t.Helper()
	i, err := formats.Open(path, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	p := make([]byte, 6)
	if _, err := i.ReadAt(p, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return string(bytes.TrimRight(p, "\x00"))
}

// TestFreeze has a machine go on with a child of its disk, which stays as it is and can be read from then on.
func TestFreeze(t *testing.T) {
	m, base := freezable(t)
	c, files := child(t, base)
	all, err := m.openSuccessors(files, []control.Child{c})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 0 {
		t.Errorf("%v were not taken over", files)
	}
	if err := m.freeze(all); err != nil {
		t.Fatal(err)
	}
	writeDisk(t, m, "after ")
	if got := firstBytes(t, base); got != "before" {
		t.Errorf("the frozen disk holds %q", got)
	}
	if m.cfg.Disks[0].Path != c.Path {
		t.Errorf("the machine says that it has %s", m.cfg.Disks[0].Path)
	}
	for _, path := range []string{base, c.Path} {
		if _, err := formats.Open(path, disk.OpenOptions{}); !errors.Is(err, disk.ErrLocked) {
			t.Errorf("%s can be written by others: %v", path, err)
		}
	}
	if err := m.disks[0].Close(); err != nil {
		t.Fatal(err)
	}
	if got := firstBytes(t, c.Path); got != "after " {
		t.Errorf("the child holds %q", got)
	}
}

// TestFreezeUnflushed freezes disks that the guest has written to and not flushed: it reads what it wrote all the same.
func TestFreezeUnflushed(t *testing.T) {
	for _, variant := range []string{"monolithicSparse", "twoGbMaxExtentSparse", "streamOptimized", "monolithicFlat"} {
		t.Run(variant, func(t *testing.T) {
			const size, step = 64 << 20, 5 << 20
			m, base := freezableOf(t, disk.CreateOptions{Size: size, Variant: variant})
			c, files := child(t, base)
			want := []byte("newest")
			for off := int64(0); off < size; off += step {
				if _, err := m.disks[0].WriteAt(want, off); err != nil {
					t.Fatal(err)
				}
			}
			all, err := m.openSuccessors(files, []control.Child{c})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.freeze(all); err != nil {
				t.Fatal(err)
			}
			for off := int64(0); off < size; off += step {
				got := make([]byte, len(want))
				if _, err := m.disks[0].ReadAt(got, off); err != nil || !bytes.Equal(got, want) {
					t.Errorf("at %d MiB the guest reads %q, %v", off>>20, got, err)
				}
			}
		})
	}
}

// TestFreezeFirstWrite has the guest write to a disk for the first time since its machine was started, which gives the disk another identity, just when a child of it was made: that one does
// not fit, and the next one does.
func TestFreezeFirstWrite(t *testing.T) {
	m, base := freezable(t)
	if err := m.disks[0].Close(); err != nil {
		t.Fatal(err)
	}
	img, err := openDisk(m.cfg, &m.cfg.Disks[0], false, "", m.log)
	if err != nil {
		t.Fatal(err)
	}
	m.disks[0] = img
	c, files := child(t, base)
	writeDisk(t, m, "first ")
	all, err := m.openSuccessors(files, []control.Child{c})
	if !errors.Is(err, disk.ErrStaleParent) || !strings.Contains(err.Error(), "save it again") {
		t.Errorf("error %v", err)
	}
	closeSuccessors(all)
	if err := os.Remove(c.Path); err != nil {
		t.Fatal(err)
	}
	c, files = child(t, base)
	if all, err = m.openSuccessors(files, []control.Child{c}); err != nil {
		t.Fatal(err)
	}
	if err := m.freeze(all); err != nil {
		t.Fatal(err)
	}
}

// TestFreezeRefused gives a machine images that it cannot go on with: it keeps its own.
func TestFreezeRefused(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, m *Machine, c *control.Child, files map[string]*os.File){
		"no child": func(_ *testing.T, _ *Machine, c *control.Child, _ map[string]*os.File) { c.Disk = "scsi0:1" },
		"no file of the parent": func(t *testing.T, _ *Machine, c *control.Child, _ map[string]*os.File) {
			maps.DeleteFunc(c.Files, func(path, _ string) bool { return path != c.Path })
		},
		"a file that did not come along": func(_ *testing.T, _ *Machine, _ *control.Child, files map[string]*os.File) {
			files["b"].Close()
			delete(files, "b")
		},
		"another parent": func(t *testing.T, m *Machine, c *control.Child, files map[string]*os.File) {
			other := filepath.Join(t.TempDir(), "other.vmdk")
			if err := formats.Create(other, disk.CreateOptions{Size: 1 << 20}); err != nil {
				t.Fatal(err)
			}
			files["b"].Close()
			var err error
			if files["b"], err = os.Open(other); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, base := freezable(t)
			c, files := child(t, base)
			spoil(t, m, &c, files)
			all, err := m.openSuccessors(files, []control.Child{c})
			if err == nil || all != nil {
				t.Errorf("%v, %v", all, err)
			}
			for _, f := range files {
				f.Close()
			}
			writeDisk(t, m, "later ")
			if err := m.disks[0].Close(); err != nil {
				t.Fatal(err)
			}
			if got := firstBytes(t, base); got != "later " {
				t.Errorf("the disk holds %q", got)
			}
		})
	}
}
