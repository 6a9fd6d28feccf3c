package guesttest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/images/testguest/kit"
	"github.com/sharevm/vmm/images/testguest/record"
)

// kinds are the image formats of this board, with what qemu-img calls them and whether it can check them.
var kinds = []struct {
	name, file, variant string
	qemu                string
	qemuChecks          bool
}{
	{"raw", "disk.raw", "", "raw", false},
	{"vmdk-sparse", "disk.vmdk", "monolithicSparse", "vmdk", true},
	{"vmdk-flat", "mono.vmdk", "monolithicFlat", "vmdk", false},
	{"vhd-dynamic", "disk.vhd", "dynamic", "vpc", false},
	{"vhd-fixed", "fixed.vhd", "fixed", "vpc", false},
}

// create makes an empty image in the machine's folder; its extension chooses the format.
func (f *machineFile) create(t *testing.T, name string, size int64, variant ...string) {
	t.Helper()
	o := disk.CreateOptions{Size: size}
	if len(variant) > 0 {
		o.Variant = variant[0]
	}
	if err := formats.Create(filepath.Join(f.dir, name), o); err != nil {
		t.Fatal(err)
	}
}

// copyRoot puts the kit's root file system into an image.
func (f *machineFile) copyRoot(t *testing.T, name string) {
	t.Helper()
	img, err := formats.Open(filepath.Join(f.dir, name), disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(filepath.Join(kitDir, kit.Root))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	buf := make([]byte, 1<<20)
	zero := make([]byte, 1<<20)
	for off := int64(0); ; off += int64(len(buf)) {
		n, err := io.ReadFull(root, buf)
		if string(buf[:n]) != string(zero[:n]) {
			if _, err := img.WriteAt(buf[:n], off); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil {
			break
		}
	}
	if err := img.Close(); err != nil {
		t.Fatal(err)
	}
}

// hash reads a whole image through our own code.
func (f *machineFile) hash(t *testing.T, name string, size int64) string {
	t.Helper()
	img, err := formats.Open(filepath.Join(f.dir, name), disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(img, 0, size)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// check asks our checker, which may find nothing as bad as worst, and, where it has one for the format, qemu's.
func (f *machineFile) check(t *testing.T, name string, worst disk.Severity, qemuFormat string, qemuChecks bool) {
	t.Helper()
	path := filepath.Join(f.dir, name)
	r, err := formats.Check(path, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		if p.Severity >= worst {
			t.Errorf("%s: %v", name, p)
		}
	}
	if !qemuChecks {
		return
	}
	if out, err := exec.Command("qemu-img", "check", "-f", qemuFormat, path).CombinedOutput(); err != nil {
		t.Errorf("qemu-img check %s: %v\n%s", name, err, out)
	}
}

// qemuHash reads a whole image through qemu-img.
func (f *machineFile) qemuHash(t *testing.T, name, format string) string {
	t.Helper()
	raw := filepath.Join(f.dir, "qemu.raw")
	defer os.Remove(raw)
	if out, err := exec.Command("qemu-img", "convert", "-f", format, "-O", "raw", filepath.Join(f.dir, name), raw).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img convert %s: %v\n%s", name, err, out)
	}
	b, err := os.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	h := sha256.New()
	if _, err := io.Copy(h, b); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// TestDisks runs a guest from a root file system in each format, with a write-verify load on a second disk of the same
// format, and compares afterwards what the guest saw with what we and qemu read.
func TestDisks(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			const size = 16 << 20
			f := newFile(t, "info,files:20,disk:/dev/vdb:16:7,hash:/dev/vdb")
			f.cmdline = append(f.cmdline, "vmm.root=/dev/vda")
			f.create(t, "root-"+k.file, kit.RootSize, k.variant)
			f.copyRoot(t, "root-"+k.file)
			f.create(t, "data-"+k.file, size, k.variant)
			f.addDisk(0, "root-"+k.file)
			f.addDisk(1, "data-"+k.file)
			g := f.start(t, "--cpus", "2")
			g.finish()
			saw := g.said(`^hash /dev/vdb (\S+)$`)[0][1]
			if model := g.said(`^disk .* sha256=(\S+)$`)[0][1]; model != saw {
				t.Errorf("the guest wrote %s and read %s", model, saw)
			}
			if ours := f.hash(t, "data-"+k.file, size); ours != saw {
				t.Errorf("the guest saw %s, the image holds %s", saw, ours)
			}
			if theirs := f.qemuHash(t, "data-"+k.file, k.qemu); theirs != saw {
				t.Errorf("the guest saw %s, qemu reads %s", saw, theirs)
			}
			for _, name := range []string{"root-", "data-"} {
				f.check(t, name+k.file, disk.Leak, k.qemu, k.qemuChecks)
			}
		})
	}
}

// TestKill kills the monitor in the middle of a guest's writes: the image must open, be clean or repaired, and hold everything that
// the guest had flushed.
func TestKill(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			const size, seed = 32 << 20, 11
			f := newFile(t, fmt.Sprintf("journal:/dev/vda:32:%d", seed))
			f.create(t, k.file, size, k.variant)
			f.addDisk(0, k.file)
			f.killWhenSynced(t, f.start(t), k.file, size, seed)
			f.check(t, k.file, disk.Leak, k.qemu, k.qemuChecks)
		})
	}
}

// killWhenSynced kills the monitor of a guest that runs the task journal on an image, and looks for all records that the guest had flushed.
func (f *machineFile) killWhenSynced(t *testing.T, g *guest, name string, size, seed uint64) {
	t.Helper()
	var synced uint64
	for synced < 200 {
		synced, _ = strconv.ParseUint(g.expect(`^synced (\d+)$`)[1], 10, 64)
	}
	if err := g.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = g.wait()
	for _, m := range g.said(`^synced (\d+)$`) { // what arrived before the end
		n, _ := strconv.ParseUint(m[1], 10, 64)
		synced = max(synced, n)
	}
	f.check(t, name, disk.Damage, "", false)
	img, err := formats.Open(filepath.Join(f.dir, name), disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, record.Size)
	for n := uint64(1); n <= synced; n++ {
		if _, err := img.ReadAt(buf, int64(record.Slot(seed, n, size/record.Size))*record.Size); err != nil {
			t.Fatal(err)
		}
		if !record.Is(buf, seed, n) {
			t.Fatalf("record %d of %d flushed ones is lost", n, synced)
		}
	}
	if err := img.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d flushed records found", synced)
}

// TestSnapshotForgets checks that --snapshot leaves every image as it was.
func TestSnapshotForgets(t *testing.T) {
	f := newFile(t, "disk:/dev/vda:4:3")
	f.create(t, "disk.vmdk", 8<<20)
	f.addDisk(0, "disk.vmdk")
	before, err := os.ReadFile(filepath.Join(f.dir, "disk.vmdk"))
	if err != nil {
		t.Fatal(err)
	}
	f.start(t, "--snapshot").finish()
	after, err := os.ReadFile(filepath.Join(f.dir, "disk.vmdk"))
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("the image has changed")
	}
}

// TestDiskIdentity checks what else a guest sees of a disk.
func TestDiskIdentity(t *testing.T) {
	f := newFile(t, "info")
	f.create(t, "odd.raw", 3<<20+512)
	f.addDisk(0, "odd.raw")
	g := f.start(t, "--cpus", "2")
	g.finish()
	if got := g.said(`^info disk vda (.*)$`); len(got) != 1 || got[0][1] != "sectors=6145 serial=vmm-scsi0:0 ro=0 queues=2" {
		t.Errorf("the disk shows as %v", got)
	}
}

// TestLockedDisk checks that a second machine cannot open a running machine's disk.
func TestLockedDisk(t *testing.T) {
	f := newFile(t, "button")
	f.create(t, "disk.vmdk", 1<<20)
	f.addDisk(0, "disk.vmdk")
	g := f.start(t)
	g.expect("waiting for the button")
	out, err := exec.Command(vmmBin, "run", "--allow-outside", filepath.Join(f.dir, "test.vmx")).CombinedOutput()
	if err == nil || !oneLine(out) {
		t.Errorf("a second run of the machine: %v\n%s", err, out)
	}
	if err := exec.Command("qemu-io", "-f", "vmdk", "-c", "write 0 512", filepath.Join(f.dir, "disk.vmdk")).Run(); err == nil {
		t.Error("qemu opened a running machine's disk for writing")
	}
	_ = g.cmd.Process.Signal(os.Interrupt)
	g.finish()
	if out, err := exec.Command("qemu-img", "info", "--output=json", filepath.Join(f.dir, "disk.vmdk")).Output(); err != nil || !json.Valid(out) {
		t.Errorf("qemu-img info afterwards: %v", err)
	}
}
