package qcow2_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/qcow2"
)

// made returns a Subject whose images have content that a write does not find in a place of its own: change makes it so with qemu-img. The
// disk holds stretches of sectors that say where they are.
func made(t *testing.T, o disk.CreateOptions, change func(img disktest.Tool, path string)) disktest.Subject {
	t.Helper()
	img := disktest.FindTool(t, "qemu-img", "qemu-utils")
	s := subjects()["v3"]
	s.Options = o
	var mu sync.Mutex
	content := map[int64][]byte{} // by size: making an image takes a while
	s.Create = func(path string, o disk.CreateOptions) error {
		files, ok := o.Files.(*disktest.Recorder)
		if !ok {
			return errors.New("made for a Recorder only")
		}
		mu.Lock()
		defer mu.Unlock()
		if content[o.Size] == nil {
			p := filepath.Join(disktest.Dir(t), "made.qcow2")
			o.Files = nil
			if err := create(p, o); err != nil {
				return err
			}
			change(img, p)
			all, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			content[o.Size] = all
		}
		files.Put(path, bytes.Clone(content[o.Size]))
		return nil
	}
	return s
}

// create makes a disk with data in every other stretch of 75 sectors.
func create(path string, o disk.CreateOptions) error {
	if err := qcow2.Create(path, o); err != nil {
		return err
	}
	i, err := qcow2.Open(path, disk.OpenOptions{})
	if err != nil {
		return err
	}
	for first := int64(0); first*512 < o.Size; first += 150 {
		n := min(75, o.Size/512-first)
		p := bytes.Repeat(binary.LittleEndian.AppendUint64(nil, 1<<50+uint64(first)), int(n*64))
		if _, werr := i.WriteAt(p, first*512); err == nil {
			err = werr
		}
	}
	return errors.Join(err, i.Close())
}

// TestSharedCrash cuts the power while clusters that must not be written in place are replaced.
func TestSharedCrash(t *testing.T) {
	snapshot := func(img disktest.Tool, path string) { img.Run("snapshot", "-c", "s", path) }
	compress := func(options string) func(disktest.Tool, string) {
		return func(img disktest.Tool, path string) {
			img.Run("convert", "-q", "-c", "-f", "qcow2", "-O", "qcow2", "-o", options, path, path+".c")
			if err := os.Rename(path+".c", path); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		size   int64 // of clusters
		change func(disktest.Tool, string)
	}{
		"snapshot":       {8 << 10, snapshot},
		"snapshot small": {512, snapshot},
		"compressed":     {4 << 10, compress("compression_type=zlib,cluster_size=4k")}, // how does not matter to the order of writes
	} {
		t.Run(name, func(t *testing.T) {
			disktest.Crash(t, made(t, disk.CreateOptions{BlockSize: c.size}, c.change))
		})
	}
}

// TestSharedFaults fails writes meanwhile.
func TestSharedFaults(t *testing.T) {
	s := made(t, disk.CreateOptions{BlockSize: 4 << 10}, func(img disktest.Tool, path string) { img.Run("snapshot", "-c", "s", path) })
	disktest.Faults(t, s)
}
