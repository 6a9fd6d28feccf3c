// Package house holds the code to the floors of docs/architecture.md.
package house

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/sharevm/vmm/"

// floors says what a folder may import of ours, besides itself and the helpers. The longest prefix counts. Tests are free.
var floors = map[string][]string{
	"vmm":                {"vmm"},
	"vmm/host":           {"vmm"},
	"disk":               {"disk"},
	"config":             {"config"},
	"display":            {"display"},
	"audio":              {"audio"},
	"devices/hda":        {"audio", "devices/pci", "vmm/bus", "vmm/irq", "vmm/state", "vmm/memory"},
	"network":            {"network"},
	"boot":               {"boot", "vmm/memory"},
	"devices":            {"vmm/bus", "vmm/irq", "vmm/state", "vmm/event", "vmm/memory"},
	"devices/i8042":      {"display/input", "vmm/bus", "vmm/irq", "vmm/state"},
	"devices/hpet":       {"vmm/bus", "vmm/irq", "vmm/state"},
	"devices/tpm":        {"vmm/bus", "vmm/state"},
	"devices/q35":        {"devices/pci", "vmm/bus", "vmm/irq", "vmm/state"},
	"devices/vga":        {"display", "devices/pci", "vmm/bus", "vmm/irq", "vmm/state", "vmm/memory"},
	"devices/nvme":       {"disk", "devices/pci", "vmm/bus", "vmm/irq", "vmm/state", "vmm/event", "vmm/memory"},
	"virtio":             {"virtio/queue", "vmm/bus", "vmm/irq", "vmm/state", "vmm/event", "vmm/memory"},
	"devices/ata":        {"devices/scsi", "disk", "vmm/state"},
	"devices/ide":        {"devices/ata", "devices/pci", "vmm/bus", "vmm/irq", "vmm/state", "vmm/memory"},
	"devices/ahci":       {"devices/ata", "devices/pci", "vmm/bus", "vmm/irq", "vmm/state", "vmm/memory"},
	"devices/scsi":       {"disk", "vmm/state"},
	"devices/fusion":     {"devices/pci", "devices/scsi", "vmm/bus", "vmm/irq", "vmm/state", "vmm/event", "vmm/memory"},
	"devices/pvscsi":     {"devices/pci", "devices/scsi", "vmm/bus", "vmm/irq", "vmm/state", "vmm/event", "vmm/memory"},
	"devices/nic":        {"network", "vmm/event"},
	"devices/e1000":      {"devices/nic", "devices/pci", "network", "vmm/bus", "vmm/irq", "vmm/state", "vmm/memory"},
	"devices/vmxnet3":    {"devices/nic", "devices/pci", "network", "vmm/bus", "vmm/irq", "vmm/state", "vmm/memory"},
	"virtio/transport":   {"virtio", "devices/pci", "vmm/bus", "vmm/irq", "vmm/state", "vmm/event", "vmm/memory"},
	"virtio/virtiotest":  {"virtio", "devices/pci", "vmm"},
	"virtio/blk":         {"virtio", "disk", "vmm/state", "vmm/memory"},
	"virtio/net":         {"virtio", "network", "vmm/state", "vmm/memory"},
	"virtio/console":     {"virtio", "vmm/state", "vmm/memory"},
	"virtio/gpu":         {"virtio", "display", "vmm/state", "vmm/memory"},
	"virtio/input":       {"virtio", "display/input", "vmm/state", "vmm/memory"},
	"virtio/rng":         {"virtio", "vmm/state", "vmm/memory"},
	"machine":            {"machine", "vmm", "disk", "config", "network", "boot", "devices", "virtio", "display", "audio"},
	"session":            {"session", "display"},
	"images/guest":       {"images", "network"},
	"images":             {"images", "vmm/host", "vmm/kvm", "disk", "config", "network"},
	"cmd":                {"session", "machine", "vmm", "disk", "config", "network", "images", "display", "audio"},
	"internal/guesttest": {""},
	"internal/kiosktest": {""},
	"internal/testsuite": {"images", "vmm"},
	"internal/bench":     {""},
	"internal":           {},

	"devices/nic/nictest": {"devices/nic", "devices/pci", "network", "vmm"},
}

// helpers have no floor: anybody may use them. They import nothing of ours but each other.
var helpers = []string{"internal/"}

func TestFloors(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := 0
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		pkg := strings.TrimPrefix(words[0], module)
		packages++
		room, may := rule(pkg)
		if room == "" {
			t.Errorf("%s stands on no floor: say in the table what it may import", pkg)
			continue
		}
		for _, dep := range words[1:] {
			dep, ours := strings.CutPrefix(dep, module)
			if ours && !within(dep, room) && !allowed(dep, may) && !allowed(dep, helpers) {
				t.Errorf("%s imports %s: %s may import %v", pkg, dep, room, may)
			}
		}
	}
	if packages < 30 {
		t.Errorf("go list told of %d packages only", packages)
	}
}

// rule returns the folder whose rule holds for a package.
func rule(pkg string) (room string, may []string) {
	for folder, m := range floors {
		if within(pkg, folder) && len(folder) > len(room) {
			room, may = folder, m
		}
	}
	return room, may
}

func allowed(dep string, list []string) bool {
	for _, m := range list {
		if m == "" || within(dep, strings.TrimSuffix(m, "/")) {
			return true
		}
	}
	return false
}

func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }
