package guesttest

import "testing"

// TestFirmwareWakes suspends a guest to RAM that firmware has started, and wakes it by way of the firmware; a disk's driver and a second processor have to follow, and
// a TPM remembers what was measured into it.
func TestFirmwareWakes(t *testing.T) {
	for _, c := range []struct{ name, kind, tasks, tpm string }{
		{"bios", "bios", "disk:/dev/vdb:4:1,suspend:3,disk:/dev/vdb:4:2,cpus,info", "FALSE"},
		{"efi", "efi", "disk:/dev/vdb:4:1,suspend:3,disk:/dev/vdb:4:2,suspend:3,disk:/dev/vdb:4:3,cpus,info", "FALSE"},
		{"bios with a TPM", "bios", "tpm,suspend:3,tpm", "TRUE"},
		{"efi with a TPM", "efi", "tpm,suspend:3,tpm", "TRUE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name != "bios" {
				needMatrix(t)
			}
			f := newFirmwareFile(t, c.kind)
			f.set("numvcpus", "2")
			f.set("vtpm.present", c.tpm)
			f.bootDisk(t, c.tasks)
			f.addDiskOn("virtio", "disk.img")
			f.create(t, "data.raw", 4<<20)
			f.addDisk(1, "data.raw")
			g := f.start(t)
			g.finish()
			if len(g.said(`^awake after \d+ s`)) == 0 {
				t.Error("it did not wake")
			}
			if pcr := g.said(`^tpm pcr0 ([0-9a-f]{64})$`); c.tpm == "TRUE" && (len(pcr) != 2 || pcr[0][1] != pcr[1][1]) {
				t.Errorf("measurements before and after: %q", pcr)
			}
			for _, c := range g.said(`^info complaint (.*)`) {
				t.Logf("the kernel says: %s", c[1]) // of hosts that are busy, too
			}
		})
	}
}
