package formats_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
)

// TestOverlayOfAnything puts a qcow2 overlay over a disk of every other format, and has qemu read the chain, which finds the parent by the
// name and format that the overlay says.
func TestOverlayOfAnything(t *testing.T) {
	img := disktest.FindTool(t, "qemu-img", "qemu-utils")
	for _, f := range formats.All() {
		t.Run(f.Name, func(t *testing.T) {
			dir := disktest.Dir(t)
			base, overlay := filepath.Join(dir, "base"+f.Extensions[0]), filepath.Join(dir, "overlay.qcow2")
			want := make([]byte, 5<<20)
			rng := rand.New(rand.NewPCG(1, 1))
			write := func(path string) {
				t.Helper()
				i, err := formats.Open(path, disk.OpenOptions{})
				if err != nil {
					t.Fatal(err)
				}
				for range 12 {
					off := rng.Int64N(int64(len(want)))
					p := want[off:min(int64(len(want)), off+rng.Int64N(100<<10))]
					for k := range p {
						p[k] = byte(rng.Uint32())
					}
					if _, err := i.WriteAt(p, off); err != nil {
						t.Fatal(err)
					}
				}
				got := make([]byte, len(want))
				if _, err := i.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%s does not read as written: %v", path, err)
				}
				if err := i.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if err := formats.Create(base, disk.CreateOptions{Size: int64(len(want))}); err != nil {
				t.Fatal(err)
			}
			write(base)
			if err := formats.Create(overlay, disk.CreateOptions{Parent: base}); err != nil {
				t.Fatal(err)
			}
			write(overlay)
			plain := filepath.Join(dir, "want")
			if err := os.WriteFile(plain, want, 0o600); err != nil {
				t.Fatal(err)
			}
			img.Run("compare", "-q", "-f", "qcow2", "-F", "raw", overlay, plain)
		})
	}
}
