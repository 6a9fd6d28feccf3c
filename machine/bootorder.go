package machine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/pci"
)

// bootable is something that firmware can boot from.
type bootable struct {
	name string // as the boot order names it: "scsi0:0", "ethernet0"
	kind string // what it is one of: "hdd", "cdrom", "ethernet"
	f    *pci.Function
	unit unit
}

// unit says in OpenFirmware's terms what a function is, and where a drive is on it: IEEE 1275 and its bindings, as far as SeaBIOS (which goes by places
// alone) and OVMF (which knows no other names than these) read them.
type unit struct{ node, drive string }

func unitVirtioDisk() unit { return unit{"scsi", "disk@0,0"} }

func unitIDE(channel, drive int) unit {
	return unit{"ide", fmt.Sprintf("drive@%x/disk@%x", channel, drive)}
}

func unitSATA(port int) unit { return unit{"pci8086,2922", fmt.Sprintf("drive@%x/disk@0", port)} }

func unitNVMe(namespace int) unit {
	return unit{"pci8086,5845", fmt.Sprintf("namespace@%x,0", namespace)}
}

// unitSCSI is a drive of any SCSI host adapter.
func unitSCSI(target, lun int) unit {
	return unit{"scsi", fmt.Sprintf("channel@0/disk@%x,%x", target, lun)}
}

func unitCard() unit { return unit{"ethernet", "ethernet-phy@0"} }

// bootDrive has the firmware know a drive on function f. Drives without a medium count, since a CD may be put in later.
func (b *board) bootDrive(d drive, f *pci.Function, u unit) {
	kind := "hdd"
	if d.Media == config.MediaCDROM {
		kind = "cdrom"
	}
	b.bootables = append(b.bootables, bootable{d.Address.String(), kind, f, u})
}

// bootCard has the firmware know a network card.
func (b *board) bootCard(c card, f *pci.Function) {
	b.bootables = append(b.bootables, bootable{c.name, "ethernet", f, unitCard()})
}

// path is the OpenFirmware path.
func (e *bootable) path() string {
	path := fmt.Sprintf("/%s@%s/%s", e.unit.node, unitAddress(e.f), e.unit.drive)
	for above := e.f.Above(); above != nil; above = above.Above() {
		path = "/pci-bridge@" + unitAddress(above) + path
	}
	return "/pci@i0cf8" + path
}

// unitAddress is a function's place on its bus, in OpenFirmware's form.
func unitAddress(f *pci.Function) string {
	a := f.Address()
	if a.Function == 0 {
		return fmt.Sprintf("%x", a.Device)
	}
	return fmt.Sprintf("%x,%x", a.Device, a.Function)
}

// bootOrder lists the paths in the order to boot in: first what the configuration names, then everything else.
func bootOrder(all []bootable, wanted []string) (paths []string) {
	for _, w := range append(slices.Clone(wanted), "hdd", "cdrom", "ethernet") {
		for _, e := range all {
			if !strings.EqualFold(w, e.name) && !strings.EqualFold(w, e.kind) {
				continue
			}
			if p := e.path(); !slices.Contains(paths, p) {
				paths = append(paths, p)
			}
		}
	}
	return paths
}
