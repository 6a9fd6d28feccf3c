package vmx

import (
	"strings"
	"testing"
)

// TestRulesReachable makes a key from every pattern: its own rule must be the one that is found.
func TestRulesReachable(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rules {
		if seen[r.pattern] {
			t.Errorf("%s stands twice", r.pattern)
		}
		seen[r.pattern] = true
		if r.pattern != strings.ToLower(r.pattern) || strings.Contains(strings.TrimSuffix(r.pattern, "*"), "*") {
			t.Errorf("%s is not a pattern", r.pattern)
		}
		if r.reason == "" || strings.HasSuffix(r.reason, ".") {
			t.Errorf("%s: %q is not a reason", r.pattern, r.reason)
		}
		key := strings.NewReplacer("@", "sata0", "*", "some").Replace(r.pattern)
		for _, device := range []string{"scsi", "sata", "nvme", "ide", "floppy", "ethernet", "filter", "serial", "parallel", "pcibridge", "hpet", "vmci", "sharedfolder", "processor", ":"} {
			key = strings.ReplaceAll(key, device+"n", device+"0")
		}
		if got := classify(key); got != r {
			t.Errorf("%s (from %s) is judged by %s", key, r.pattern, got.pattern)
		}
	}
}

func TestClassify(t *testing.T) {
	for key, want := range map[string]Class{
		"MemSize": Honoured, "scsi0:12.fileName": Honoured, "nvme3:14.redo": Honoured, "ide1:0.clientDevice": Harmless, "sata0:1.autodetect": Harmless,
		"usb_xhci:4.deviceType": Harmless, "usb_xhci.present": Honoured, "cpuid.coresPerSocket": Honoured, "cpuid.1.eax": Warned, "cpuid.80000002.eax": Warned,
		"encryption.data": Refused, "pciPassthru0.id": Refused, "RemoteDisplay.maxConnections": Harmless, "RemoteDisplay.vnc.port": Honoured,
		"vmm.kernel": Honoured, "vmm.scsi0.virtualDev": Honoured, "vmm.scsi0:0.serial": Honoured, "vmm.scsi0:0.clientDevice": Warned, "vmm.memsize": Warned,
		"vmm.ethernet0.tap": Honoured, "vmm.vmm.kernel": Warned, "scsix.present": Harmless, "ethernet.present": Harmless, "scsi0:.fileName": Harmless, "x": Harmless,
	} {
		if got := classify(key); got.class != want {
			t.Errorf("%s is %s by %s, want %s", key, got.class, got.pattern, want)
		}
	}
}

func TestDisabledBy(t *testing.T) {
	l := &loader{f: parse(t, "a.present = FALSE\nscsi0.present = FALSE\nscsi1:0.present = no\nvmm.scsi1:0.present = yes\nb.present = TRUE\nbad.present = x\n")}
	for key, want := range map[string]string{
		"a.x": "a", "a.b.c": "a", "a.present": "", "scsi0:3.fileName": "scsi0", "scsi0:3.present": "scsi0", "scsi0.present": "", "scsi1:0.fileName": "",
		"b.x": "", "bad.x": "", "other": "", "vmm.scsi0:1.fileName": "scsi0",
	} {
		if got := l.disabledBy(key); got != want {
			t.Errorf("%s is switched off by %q, want %q", key, got, want)
		}
	}
}
