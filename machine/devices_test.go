package machine

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sharevm/vmm/devices/pci"
)

// scan is what a guest finds that looks at all of bus 0: identities and classes as docs/devices.md has them.
func scan(root *pci.Root) (found map[string]string) {
	ecam, _ := root.ECAM()
	found = map[string]string{}
	for slot := range uint64(lastSlot + 1) {
		for function := range uint64(8) {
			var p [12]byte
			for at := uint64(0); at < 12; at += 4 {
				ecam.Read(slot<<15|function<<12|at, p[at:at+4])
			}
			id := fmt.Sprintf("%02x%02x:%02x%02x", p[1], p[0], p[3], p[2])
			if id != "ffff:ffff" {
				found[id] = fmt.Sprintf("%02x%02x%02x", p[11], p[10], p[9])
			}
		}
	}
	return found
}

// TestDevicesPage compares the PCI identities and classes that docs/devices.md has with those of boards that have everything.
func TestDevicesPage(t *testing.T) {
	found := map[string]string{}
	for _, bridge := range []pci.Identity{plainBridge, rootPort} { // a bus without devices has none
		found[fmt.Sprintf("%04x:%04x", bridge.Vendor, bridge.Device)] = fmt.Sprintf("%06x", bridge.Class)
	}
	const (
		card  = "ethernet3.present = TRUE\nethernet3.connectionType = none\n" // virtio, where nothing else is said
		sound = "sound.present = TRUE\nsound.virtualDev = hdaudio\n"
	)
	for _, keys := range []string{card + "vmm.display = virtio\n", pcBoard + sound, boards["pvscsi"], boards["lsilogic"]} {
		s := newStand(t, keys)
		memory, err := os.Open(s.memory)
		if err != nil {
			t.Fatal(err)
		}
		s.m.from = &Snapshot{meta: s.meta, devices: s.devices, memory: memory}
		b, err := s.m.newBoard(nil)
		if err != nil {
			t.Fatal(err)
		}
		for id, class := range scan(b.root) {
			found[id] = class
		}
		if err := b.close(); err != nil {
			t.Error(err)
		}
	}
	page, err := os.ReadFile("../docs/devices.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile(`(codec )?([0-9a-f]{4}:[0-9a-f]{4})(?:, class ([0-9a-f]{4,6}))?`).FindAllStringSubmatch(string(page), -1) {
		codec, id, class := m[1], m[2], m[3]
		if codec != "" {
			continue // is found behind the sound card
		}
		named[id] = true
		if have, ok := found[id]; !ok || !strings.HasPrefix(have, class) {
			t.Errorf("the page has %s, class %q; the boards have %q", id, class, have)
		}
	}
	for id, class := range found {
		if !named[id] {
			t.Errorf("the page lacks %s, class %s", id, class)
		}
	}
}
