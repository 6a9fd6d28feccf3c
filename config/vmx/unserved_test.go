package vmx

import (
	"slices"
	"strings"
	"testing"
)

// TestUnserved has the linter warn of what a file asks for and vmm does not do, and of nothing where the same keys ask for what is done anyway.
func TestUnserved(t *testing.T) {
	serial := func(kind, file string) string {
		return "serial0.present = TRUE\nserial0.fileType = " + kind + "\nserial0.fileName = \"" + file + "\"\n"
	}
	for _, c := range []struct{ body, warned string }{
		{"vmm.hotkey = F5", "vmm.hotkey"},
		{"vmm.priority = low", "vmm.priority"},
		{"vmm.priority = normal", ""},
		{"vmm.vsock.cid = 7", "vmm.vsock.cid"},
		{"vmm.vsock.cid = 0", ""},
		{"powerType.powerOff = hard", "powerType.powerOff"},
		{"powerType.powerOff = soft\npowerType.reset = hard\npowerType.suspend = soft", ""},
		{"tools.syncTime = TRUE", "tools.syncTime"},
		{"tools.syncTime = FALSE", ""},
		{"RemoteDisplay.vnc.enabled = TRUE\nRemoteDisplay.vnc.keymap = de", "RemoteDisplay.vnc.keymap"},
		{"usb.present = TRUE", "usb.present"},
		{"ehci.present = TRUE", "ehci.present"},
		{"usb_xhci.present = TRUE", "usb_xhci.present"},
		{"usb.present = FALSE", ""},
		{"guestinfo.Name = x", "guestinfo.Name"},
		{serial("pipe", "com.sock"), "serial0.fileType"},
		{serial("file", "com.log"), ""},
		{"ethernet0.present = TRUE\nethernet0.connectionType = nat\nethernet0.virtualDev = vlance", "ethernet0.virtualDev"},
		{"sound.present = TRUE\nsound.virtualDev = es1371", "sound.virtualDev"},
		{"sound.present = TRUE\nsound.virtualDev = hdaudio", ""},
		{"floppy0.fileType = file\nfloppy0.fileName = disk.vmdk", "floppy0.fileName"},
	} {
		_, findings, err := load(t, c.body, Options{})
		if err != nil {
			t.Errorf("%q: %v", c.body, err)
		}
		var warned []string
		for _, f := range findings {
			if f.Class == Warned {
				warned = append(warned, f.Key)
			}
		}
		if want := strings.Fields(c.warned); !slices.Equal(warned, want) {
			t.Errorf("%q: warned of %q, want %q", c.body, warned, want)
		}
	}
}

// TestUnservedRefused has the linter refuse what the machine would not start with.
func TestUnservedRefused(t *testing.T) {
	const disk = "scsi0.present = TRUE\nscsi0:0.present = TRUE\nscsi0:0.fileName = disk.vmdk\n"
	for body, want := range map[string]string{
		disk + "scsi0.virtualDev = buslogic":                                                   "set vmm.scsi0.virtualDev to lsilogic",
		"ethernet0.present = TRUE\nethernet0.connectionType = nat\nvmm.ethernet0.bridge = br0": "with vmm.ethernet0.tap",
	} {
		if _, _, err := load(t, body, Options{AllowHostDevices: true}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", body, err, want)
		}
	}
	// With a kernel of its own all devices are virtio.
	if _, _, err := load(t, disk+"scsi0.virtualDev = buslogic\nvmm.kernel = vmlinuz\n", Options{}); err != nil {
		t.Error(err)
	}
}
