package boot_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/sharevm/vmm/boot"
	"github.com/sharevm/vmm/boot/entry"
	"github.com/sharevm/vmm/boot/internal/kerneltest"
	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/boot/payload"
)

var (
	bzImage = kerneltest.BzImage{}.Bytes()
	elf     = kerneltest.ELF(64, kerneltest.Note(0x1000000), kerneltest.Segment{Type: 1, Paddr: 0x1000000, Data: []byte("code")})
)

func TestLoadChoosesProtocol(t *testing.T) {
	for _, c := range []struct {
		name  string
		image []byte
		mode  entry.Mode
		want  error
	}{
		{"bzImage", bzImage, entry.Long64, nil},
		{"ELF", elf, entry.Protected32, nil},
		{"text", []byte("#!/bin/sh\n"), 0, payload.ErrNotKernel},
		{"zeroes", make([]byte, 1<<16), 0, payload.ErrNotKernel},
		{"nothing", nil, 0, payload.ErrNotKernel},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, l := kerneltest.Guest(t, 64*layout.MiB)
			s, err := boot.Load(g, l, kerneltest.Payload(l, c.image, nil))
			if !errors.Is(err, c.want) || s.Mode != c.mode {
				t.Errorf("mode %d, %v", s.Mode, err)
			}
		})
	}
}

func TestFromOS(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(path, bzImage, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file, err := payload.FromOS(f)
	if err != nil || file.Size != int64(len(bzImage)) || file.Name != path {
		t.Fatalf("%+v, %v", file, err)
	}
	g, l := kerneltest.Guest(t, 64*layout.MiB)
	p := kerneltest.Payload(l, nil, nil)
	p.Kernel = file
	if _, err := boot.Load(g, l, p); err != nil {
		t.Error(err)
	}

	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if _, err := payload.FromOS(folder); !errors.Is(err, payload.ErrUnsupported) {
		t.Errorf("folder: %v", err)
	}
}

// Loading must cost this process no memory that grows with the files: they go straight into guest RAM.
func BenchmarkLoad(b *testing.B) {
	image := kerneltest.BzImage{Payload: make([]byte, 14*layout.MiB), InitSize: 32 * layout.MiB}.Bytes()
	g, l := kerneltest.Guest(b, 128*layout.MiB)
	p := kerneltest.Payload(l, image, make([]byte, 4*layout.MiB))
	b.SetBytes(p.Kernel.Size + p.Initrd.Size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := boot.Load(g, l, p); err != nil {
			b.Fatal(err)
		}
	}
}

// TestLoadAllocates holds what BenchmarkLoad shows: less than 64 KiB of heap, whatever the kernel's size.
func TestLoadAllocates(t *testing.T) {
	image := kerneltest.BzImage{Payload: make([]byte, 14*layout.MiB), InitSize: 32 * layout.MiB}.Bytes()
	g, l := kerneltest.Guest(t, 64*layout.MiB)
	p := kerneltest.Payload(l, image, make([]byte, 4*layout.MiB))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := boot.Load(g, l, p); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64*layout.KiB {
		t.Errorf("%d bytes allocated for a load", n)
	}
}
