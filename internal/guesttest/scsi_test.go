package guesttest

import (
	"testing"
)

// adapters are the SCSI host bus adapters, as a .vmx names them.
var adapters = []string{"lsisas1068", "lsilogic", "pvscsi"}

// TestSCSILoad has Linux's own driver of each adapter write and verify a disk.
func TestSCSILoad(t *testing.T) {
	for _, adapter := range adapters {
		t.Run(adapter, func(t *testing.T) {
			const size = 16 << 20
			f := newPCFile(t, "info,disk:/dev/sda:16:7,hash:/dev/sda,kernel:scsi,kernel:mpt,kernel:ioc0,kernel:sd ")
			f.set("scsi0.virtualDev", adapter)
			f.create(t, "disk.vmdk", size)
			f.addDisk(0, "disk.vmdk")
			g := f.start(t)
			g.finish()
			saw := g.said(`^hash /dev/sda (\S+)$`)[0][1]
			for _, m := range g.said(`^kernel (.*)$`) {
				t.Log(m[1])
			}
			if ours := f.hash(t, "disk.vmdk", size); ours != saw {
				t.Errorf("the guest saw %s, the image holds %s", saw, ours)
			}
		})
	}
}

// TestSCSIReset resets disk, target, bus and adapter under a load that verifies: no command may be lost, and none answered wrong.
func TestSCSIReset(t *testing.T) {
	for _, adapter := range adapters {
		t.Run(adapter, func(t *testing.T) {
			f := newPCFile(t, "sg-reset:/dev/sda:64:9,kernel:scsi,kernel:mpt,kernel:sd,info")
			f.set("scsi0.virtualDev", adapter)
			f.create(t, "disk.vmdk", 64<<20)
			f.addDisk(0, "disk.vmdk")
			g := f.start(t)
			g.finish()
			for _, m := range g.said(`^(?:kernel|reset|info complaint) (.*)$`) {
				t.Log(m[0])
			}
			if n := g.said(`^resets (\d+)$`)[0][1]; n == "0" {
				t.Error("nothing was reset")
			}
		})
	}
}
