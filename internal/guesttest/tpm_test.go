package guesttest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestTPM has Linux's own driver speak to the TPM, which counts its resets: one at each start of the machine, across power cycles and processes.
func TestTPM(t *testing.T) {
	f := newPCFile(t, "tpm,reboot:/dev/vda:1,kernel:tpm")
	f.set("vtpm.present", "TRUE")
	f.set("scsi0.virtualDev", "virtio")
	f.addDisk(0, "disk.img")
	if err := os.WriteFile(filepath.Join(f.dir, "disk.img"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	var resets []int
	for range 2 {
		g := f.start(t)
		g.finish()
		for _, m := range g.said(`^tpm resets (\d+)$`) {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			resets = append(resets, n)
		}
	}
	if len(resets) != 3 {
		t.Fatalf("%d starts", len(resets))
	}
	for i := range resets[1:] {
		if resets[i+1] != resets[i]+1 {
			t.Errorf("resets %v: the TPM did not keep its state, or was not reset once a start", resets)
		}
	}
}

// TestFirmwareMeasures has both firmwares find the TPM with their own drivers, and measure what they start: the TPM's registers hold what their logs say.
func TestFirmwareMeasures(t *testing.T) {
	const tasks = "firmware,tpm,measured"
	for kind, prepare := range map[string]func(*testing.T, *machineFile){
		"bios": func(t *testing.T, f *machineFile) {
			f.bootDisk(t, tasks)
			f.addDiskOn("nvme", "disk.img")
		},
		// A kernel has the log of a UEFI from the stub that UEFI starts it by, which GRUB leaves out.
		"efi": func(t *testing.T, f *machineFile) { f.systemdBoot(t, "vmm.tasks="+tasks) },
	} {
		t.Run(kind, func(t *testing.T) {
			needMatrix(t)
			f := newFirmwareFile(t, kind)
			f.set("vtpm.present", "TRUE")
			prepare(t, f)
			g := f.start(t)
			g.expect("firmware " + kind + "$")
			if pcr := g.expect(`^tpm pcr0 ([0-9a-f]{64})$`); pcr[1] == strings.Repeat("0", 64) {
				t.Error("the firmware has not measured itself")
			}
			t.Logf("%s measurements", g.expect(`^measured (\d+)$`)[1])
			g.finish()
		})
	}
}

// TestSuspendTPM suspends a machine whose TPM has been told a measurement: it goes on with that, and is not reset.
func TestSuspendTPM(t *testing.T) {
	f := newPCFile(t, "tpm:extend,snap:8:20:/dev/vda,tpm")
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	f.set("displayName", "measured")
	f.set("vtpm.present", "TRUE")
	f.set("scsi0.virtualDev", "virtio")
	f.addDisk(0, "disk.img")
	if err := os.WriteFile(filepath.Join(f.dir, "disk.img"), make([]byte, 16<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	g := f.start(t)
	pcr, resets := g.expect(`^tpm pcr0 ([0-9a-f]{64})$`), g.expect(`^tpm resets (\d+)$`)
	g.expect(counted)
	vmm(t, "suspend", "measured")
	if err := g.wait(); err != nil {
		t.Fatalf("vmm run: %v\n%s", err, g.err.String())
	}
	g = f.start(t)
	if got := g.expect(`^tpm pcr0 ([0-9a-f]{64})$`); got[1] != pcr[1] || got[1] == strings.Repeat("0", 64) {
		t.Errorf("PCR 0 is %s, and was %s", got[1], pcr[1])
	}
	if got := g.expect(`^tpm resets (\d+)$`); got[1] != resets[1] {
		t.Errorf("%s resets, before %s", got[1], resets[1])
	}
	g.finish()
}
