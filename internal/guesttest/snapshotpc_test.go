package guesttest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestSuspendPC suspends machines of the PC board while Linux's own drivers work its controllers and cards, and has them go on.
func TestSuspendPC(t *testing.T) {
	for _, test := range []struct {
		name, card, display string
		disks               map[string]string // address in the .vmx: device of the guest
		keys                map[string]string
	}{
		{"ahci-nvme-lsisas-e1000e-vga", "e1000e", "vga", map[string]string{"sata0:0": "/dev/sdb", "nvme0:0": "/dev/nvme0n1", "scsi0:0": "/dev/sda"},
			map[string]string{"scsi0.virtualDev": "lsisas1068"}},
		{"ide-pvscsi-vmxnet3-virtio", "vmxnet3", "virtio", map[string]string{"ide0:0": "/dev/sdb", "scsi0:0": "/dev/sda"},
			map[string]string{"scsi0.virtualDev": "pvscsi", "vmm.input": "virtio"}},
		{"lsilogic-e1000", "e1000", "none", map[string]string{"scsi0:0": "/dev/sda"},
			map[string]string{"scsi0.virtualDev": "lsilogic", "hpet0.present": "TRUE"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			needGuests(t)
			t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
			port, _ := page(t, 1<<20)
			devices := ""
			for _, d := range test.disks {
				devices += "+" + d
			}
			f := newCardFile(t, test.card, fmt.Sprintf("listen,snap:32:30:%s:http://10.0.2.2:%s/,info", devices[1:], port))
			f.set("displayName", "worker")
			f.set("numvcpus", "2")
			f.set("vmm.agent", "TRUE")
			f.set("vmm.display", test.display)
			for key, value := range test.keys {
				f.set(key, value)
			}
			for address := range test.disks {
				name := address[:len(address)-2] + ".img"
				if err := os.WriteFile(filepath.Join(f.dir, name), make([]byte, 4<<20), 0o644); err != nil {
					t.Fatal(err)
				}
				f.attach(address, name)
			}
			access := "--host-access=" + port
			g := f.start(t, access)
			for range 2 {
				g.expect(counted)
				g.expect(counted)
				vmm(t, "suspend", "worker")
				if err := g.wait(); err != nil {
					t.Fatalf("vmm run: %v\n%s", err, g.err.String())
				}
				last := lastCount(t, g)
				g = f.start(t, access)
				if n := number(t, g.expect(counted)); n < last || n > last+2 {
					t.Errorf("after %d the machine went on with %d", last, n)
				}
				// A guest that is suspended before it has heard of it is told twice the next time.
				for end := time.Now().Add(limit); len(g.said(restored)) == 0 && time.Now().Before(end); {
					time.Sleep(10 * time.Millisecond)
				}
			}
			g.finish()
			clockWasSet(t, g)
			for _, m := range g.said(`^(?:snap: after|snap: \d+ pages|info complaint).*$`) {
				t.Log(m[0])
			}
		})
	}
}
