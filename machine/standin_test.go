package machine

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/config"
)

const virtioBlk = "1af4:1042"

// TestStandIns makes boards whose disk EFI firmware finds by a stand-in alone, and has an operating system take over: the stand-in is gone, also after it was saved and restored.
func TestStandIns(t *testing.T) {
	for _, model := range []string{"pvscsi", "lsilogic", "lsisas1068"} {
		t.Run(model, func(t *testing.T) {
			s := newStand(t, "vmm.board = pc\nscsi0.virtualDev = "+model+"\nvmm.display = none\n")
			s.m.cfg.Firmware.Kind, s.m.firmware = config.FirmwareEFI, &romware{packaged: true}
			defer func() { s.m.firmware = nil }()
			s.meta.Shape = s.m.shape()
			b := &board{m: s.m, verdict: newVerdict()}
			defer b.close()
			for _, step := range []func() error{b.addMemory, b.addVM, b.addPlatform, b.addPCI} {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			<-b.loading.done
			if _, there := scan(b.root)[virtioBlk]; !there || len(b.standIns) != 1 {
				t.Fatalf("%d stand-ins; on the bus: %v", len(b.standIns), there)
			}
			paths := bootOrder(b.bootables, []string{"scsi0:0"})
			if i := slices.IndexFunc(paths, func(p string) bool { return strings.HasSuffix(p, "/scsi@1e/disk@0,0") }); i != 1 {
				t.Errorf("the stand-in is not next in the boot order to what it stands for: %q", paths)
			}
			for _, gone := range []bool{false, true} {
				if gone {
					b.vm.Ports.Write(layout.PortSMI, []byte{layout.SMIEnableACPI})
				}
				if _, there := scan(b.root)[virtioBlk]; there == gone {
					t.Errorf("taken over %v: on the bus %v", gone, there)
				}
				for _, d := range b.devices {
					d.Pause()
				}
				devices, err := b.save(nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range b.devices {
					d.Resume()
				}
				memory, err := os.Open(s.memory)
				if err != nil {
					t.Fatal(err)
				}
				s.m.from = &Snapshot{meta: s.meta, devices: devices, memory: memory}
				restored, err := s.m.newBoard(nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, there := scan(restored.root)[virtioBlk]; there == gone {
					t.Errorf("taken over %v, restored: on the bus %v", gone, there)
				}
				if err := restored.close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestNoStandIns are machines whose firmware finds all disks, as far as it is known.
func TestNoStandIns(t *testing.T) {
	for name, c := range map[string]struct {
		keys, firmware string
		packaged       bool
	}{
		"BIOS":               {"pvscsi", "bios", true},
		"OVMF of the user's": {"pvscsi", "efi", false},
		"virtio":             {"virtio", "efi", true},
	} {
		s := newStand(t, "vmm.board = pc\nvmm.display = none\nscsi0.virtualDev = "+c.keys+"\n")
		s.m.cfg.Firmware.Kind, s.m.firmware = config.FirmwareKind(c.firmware), &romware{packaged: c.packaged}
		b := &board{m: s.m}
		if d := b.needStandIns(); len(d) != 0 {
			t.Errorf("%s: a stand-in for %v", name, d[0].Address)
		}
		s.m.firmware = nil
	}
}
