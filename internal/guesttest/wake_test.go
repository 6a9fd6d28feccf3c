package guesttest

import "testing"

// TestFirmwareWakes suspends a guest to RAM that firmware has started, and wakes it by way of the firmware; a disk's driver and a second processor have to follow.
func TestFirmwareWakes(t *testing.T) {
	for kind, tasks := range map[string]string{
		"bios": "disk:/dev/vdb:4:1,suspend:3,disk:/dev/vdb:4:2,cpus,info",
		"efi":  "disk:/dev/vdb:4:1,suspend:3,disk:/dev/vdb:4:2,suspend:3,disk:/dev/vdb:4:3,cpus,info",
	} {
		t.Run(kind, func(t *testing.T) {
			if kind != "bios" {
				needMatrix(t)
			}
			f := newFirmwareFile(t, kind)
			f.set("numvcpus", "2")
			f.bootDisk(t, tasks)
			f.addDiskOn("virtio", "disk.img")
			f.create(t, "data.raw", 4<<20)
			f.addDisk(1, "data.raw")
			g := f.start(t)
			g.finish()
			if len(g.said(`^awake after \d+ s`)) == 0 {
				t.Error("it did not wake")
			}
			for _, c := range g.said(`^info complaint (.*)`) {
				t.Errorf("the kernel complains: %s", c[1])
			}
		})
	}
}
