package guesttest

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/images/testguest/kit"
	"github.com/sharevm/vmm/images/testguest/record"
)

// addNVMe attaches a file of the machine's folder as nvme0:N.
func (f *machineFile) addNVMe(n int, file string) {
	f.set("nvme0.present", "TRUE")
	f.set(fmt.Sprintf("nvme0:%d.present", n), "TRUE")
	f.set(fmt.Sprintf("nvme0:%d.fileName", n), file)
}

// TestNVMe has Linux's driver write and verify two namespaces of different formats with two processors, reset the controller under load, and
// find nothing to complain about.
func TestNVMe(t *testing.T) {
	const size = 16 << 20
	f := newPCFile(t, "info,nvme,disk:/dev/nvme0n1:16:7,disk:/dev/nvme0n2:16:8,nvme-reset:nvme0:/dev/nvme0n1:16:9,hash:/dev/nvme0n1,hash:/dev/nvme0n2,nvme")
	f.create(t, "a.vmdk", size, "monolithicSparse")
	f.create(t, "b.vhdx", size)
	f.addNVMe(0, "a.vmdk")
	f.addNVMe(3, "b.vhdx")
	g := f.start(t, "--cpus", "2")
	g.finish()
	for _, m := range g.said(`^(nvme .*)$`) {
		t.Log(m[1])
	}
	if m := g.said(`^nvme nvme0 model (.*)$`); len(m) == 0 || m[0][1] != "VMware Virtual NVMe Disk" {
		t.Errorf("the model is %v", m)
	}
	if m := g.said(`^nvme nvme0n2 .* nsid=4 .* queues=2$`); len(m) != 2 {
		t.Errorf("nvme0:3 is not namespace 4 with two queues")
	}
	if m := g.said(`^resets (\d+)$`); len(m) != 1 || m[0][1] == "0" {
		t.Errorf("the controller was not reset: %v", m)
	} else {
		t.Logf("%s resets", m[0][1])
	}
	saw := map[string]string{}
	for _, m := range g.said(`^hash /dev/(\S+) (\S+)$`) {
		saw[m[1]] = m[2]
	}
	for name, file := range map[string]string{"nvme0n1": "a.vmdk", "nvme0n2": "b.vhdx"} {
		if ours := f.hash(t, file, size); ours != saw[name] {
			t.Errorf("%s: the guest saw %s, the image holds %s", name, saw[name], ours)
		}
		f.check(t, file, disk.Leak, strings.TrimPrefix(filepath.Ext(file), "."), true)
	}
}

// TestNVMeKill kills the monitor in the middle of a guest's writes: the image must hold everything that the guest had flushed.
func TestNVMeKill(t *testing.T) {
	const size, seed = 32 << 20, 12
	f := newPCFile(t, fmt.Sprintf("journal:/dev/nvme0n1:32:%d", seed))
	f.create(t, "disk.vmdk", size)
	f.addNVMe(0, "disk.vmdk")
	g := f.start(t)
	var synced uint64
	for synced < 200 {
		synced, _ = strconv.ParseUint(g.expect(`^synced (\d+)$`)[1], 10, 64)
	}
	if err := g.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = g.wait()
	img, err := formats.Open(filepath.Join(f.dir, "disk.vmdk"), disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	buf := make([]byte, record.Size)
	for n := uint64(1); n <= synced; n++ {
		if _, err := img.ReadAt(buf, int64(record.Slot(seed, n, size/record.Size))*record.Size); err != nil {
			t.Fatal(err)
		}
		if !record.Is(buf, seed, n) {
			t.Fatalf("record %d of %d flushed ones is lost", n, synced)
		}
	}
	t.Logf("%d flushed records found", synced)
}

// TestNVMeRoot starts the cloud kernel, which has the driver built in, from a root file system on NVMe.
func TestNVMeRoot(t *testing.T) {
	f := newFile(t, "info,files:20")
	f.set("vmm.board", "pc")
	f.set("vmm.console", "serial0")
	f.cmdline = append(f.cmdline, "vmm.root=/dev/nvme0n1")
	f.create(t, "root.vmdk", kit.RootSize)
	f.copyRoot(t, "root.vmdk")
	f.addNVMe(0, "root.vmdk")
	f.start(t).finish()
}
