package guesttest

import (
	"fmt"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/images/testguest/kit"
)

// adapters are the SCSI host bus adapters, as a .vmx names them.
var adapters = []string{"lsisas1068", "lsilogic", "pvscsi"}

// kernelLog is what has the guest repeat what its kernel said of the adapters and their disks.
const kernelLog = "kernel:scsi,kernel:mpt,kernel:ioc0,kernel:sd "

// showKernel logs that, and fails on complaints that the info task found.
func (g *guest) showKernel() {
	g.t.Helper()
	for _, m := range g.said(`^(?:kernel|reset) .*$`) {
		g.t.Log(m[0])
	}
	for _, m := range g.said(`^info complaint .*(?i:scsi|mpt|ioc0|sd[a-z]).*$`) {
		g.t.Error(m[0])
	}
}

// TestSCSILoad has Linux's own driver of each adapter run a file system on a VHDX image and write and verify a VMDK one.
func TestSCSILoad(t *testing.T) {
	for _, adapter := range adapters {
		t.Run(adapter, func(t *testing.T) {
			const size = 16 << 20
			f := newPCFile(t, "info,files:10,disk:/dev/scsi-0.0.1.0:16:7,hash:/dev/scsi-0.0.1.0,"+kernelLog)
			f.cmdline = append(f.cmdline, "vmm.root=/dev/scsi-0.0.0.0")
			f.set("scsi0.virtualDev", adapter)
			f.create(t, "root.vhdx", kit.RootSize)
			f.copyRoot(t, "root.vhdx")
			f.create(t, "data.vmdk", size)
			f.addDisk(0, "root.vhdx")
			f.addDisk(1, "data.vmdk")
			g := f.start(t)
			g.finish()
			g.showKernel()
			saw := g.said(`^hash /dev/scsi-0.0.1.0 (\S+)$`)[0][1]
			if ours := f.hash(t, "data.vmdk", size); ours != saw {
				t.Errorf("the guest saw %s, the image holds %s", saw, ours)
			}
			for _, name := range []string{"root.vhdx", "data.vmdk"} {
				f.check(t, name, disk.Leak, "", false)
			}
		})
	}
}

// TestSCSIReset resets disk, target, bus and adapter under a load that verifies: no command may be lost, and none answered wrong. The guests run side by
// side, since Linux lets a bus settle for ten seconds after most resets.
func TestSCSIReset(t *testing.T) {
	guests := map[string]*guest{}
	for _, adapter := range adapters {
		f := newPCFile(t, "sg-reset:/dev/sda:32:9,"+kernelLog)
		f.set("scsi0.virtualDev", adapter)
		f.create(t, "disk.vmdk", 32<<20)
		f.addDisk(0, "disk.vmdk")
		guests[adapter] = f.start(t)
	}
	for adapter, g := range guests {
		t.Run(adapter, func(t *testing.T) {
			g.t = t
			g.finish()
			g.showKernel()
			if n := g.said(`^resets (\d+)$`)[0][1]; n == "0" {
				t.Error("nothing was reset")
			}
		})
	}
}

// TestSCSIKill kills the monitor in the middle of a guest's writes: everything that the guest had flushed must be there.
func TestSCSIKill(t *testing.T) {
	for _, adapter := range adapters {
		t.Run(adapter, func(t *testing.T) {
			const size, seed = 32 << 20, 13
			f := newPCFile(t, fmt.Sprintf("journal:/dev/sda:32:%d", seed))
			f.set("scsi0.virtualDev", adapter)
			f.create(t, "disk.vhdx", size)
			f.addDisk(0, "disk.vhdx")
			f.killWhenSynced(t, f.start(t), "disk.vhdx", size, seed)
		})
	}
}
