package guesttest

import (
	"os"
	"path/filepath"
	"testing"
)

// TestHibernate has a guest write its memory to disk and power off (S4), and go on in another process of the monitor's.
func TestHibernate(t *testing.T) {
	f := newPCFile(t, "hibernate:/dev/vda,disk:/dev/vdb:4:7")
	f.set("scsi0.virtualDev", "virtio")
	for i, size := range []int{256 << 20, 4 << 20} {
		name := []string{"swap.img", "data.img"}[i]
		if err := os.WriteFile(filepath.Join(f.dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(f.dir, name), int64(size)); err != nil {
			t.Fatal(err)
		}
		f.addDisk(i, name)
	}
	g := f.start(t)
	by := g.expect(`^hibernating by (.*)$`)
	if err := g.wait(); err != nil {
		t.Fatalf("vmm run: %v", err)
	}
	g = f.start(t)
	g.expect("^resuming$")
	g.expect("^awake from disk after .*, kept in memory$")
	g.finish()
	t.Log(by[1])
}
