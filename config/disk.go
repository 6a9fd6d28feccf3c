package config

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// BusKind is a family of disk addresses.
type BusKind string

// The kinds of buses, spelled as in disk addresses.
const (
	BusSCSI   BusKind = "scsi"
	BusSATA   BusKind = "sata"
	BusNVMe   BusKind = "nvme"
	BusIDE    BusKind = "ide"
	BusFloppy BusKind = "floppy"
)

// busLimits holds how many controllers of a kind a machine may have and how many units sit on each.
var busLimits = map[BusKind]struct{ buses, units int }{
	BusSCSI:   {4, 16}, // unit 7 is the controller itself
	BusSATA:   {4, 30},
	BusNVMe:   {4, 15},
	BusIDE:    {2, 2},
	BusFloppy: {2, 1},
}

// Bus names one controller: "scsi0". For floppies it names the drive.
type Bus struct {
	Kind   BusKind
	Number int
}

// String is the spelling used in a .vmx: "scsi0".
func (b Bus) String() string { return string(b.Kind) + strconv.Itoa(b.Number) }

// Address names one place for a disk: "scsi0:1". A floppy is "floppy0" and has Unit 0.
type Address struct {
	Bus
	Unit int
}

// String is the spelling used in a .vmx: "scsi0:1", "floppy0".
func (a Address) String() string {
	if a.Kind == BusFloppy {
		return a.Bus.String()
	}
	return fmt.Sprintf("%s:%d", a.Bus, a.Unit)
}

// Valid reports whether the address exists on its kind of controller: scsi0-3:0-6,8-15, sata0-3:0-29, nvme0-3:0-14,
// ide0-1:0-1, floppy0-1.
func (a Address) Valid() bool {
	l, ok := busLimits[a.Kind]
	return ok && a.Number >= 0 && a.Number < l.buses && a.Unit >= 0 && a.Unit < l.units &&
		(a.Kind != BusSCSI || a.Unit != 7)
}

// ParseAddress reads the spelling of [Address.String], in any case.
func ParseAddress(s string) (Address, error) {
	name, unit, colon := strings.Cut(strings.ToLower(s), ":")
	for kind := range busLimits {
		digits, ok := strings.CutPrefix(name, string(kind))
		if !ok || len(digits) != 1 || colon == (kind == BusFloppy) {
			continue
		}
		a := Address{Bus: Bus{Kind: kind, Number: int(digits[0]) - '0'}}
		if colon {
			u, err := strconv.ParseUint(unit, 10, 8)
			if err != nil || unit != strconv.FormatUint(u, 10) {
				break
			}
			a.Unit = int(u)
		}
		if a.Valid() {
			return a, nil
		}
	}
	return Address{}, fmt.Errorf("%q is not a disk address (scsi0-3:0-6,8-15, sata0-3:0-29, nvme0-3:0-14, ide0-1:0-1, floppy0-1)", s)
}

// Compare orders addresses as guests number them: IDE, SATA, SCSI, NVMe, floppy; then controller; then unit.
func (a Address) Compare(b Address) int {
	if a.Kind != b.Kind {
		return busOrder(a.Kind) - busOrder(b.Kind)
	}
	if a.Number != b.Number {
		return a.Number - b.Number
	}
	return a.Unit - b.Unit
}

func busOrder(k BusKind) int {
	return strings.Index("ide sata scsi nvme floppy", string(k))
}

// ControllerModel is the hardware that a controller is presented as.
type ControllerModel string

// The controllers. The virtio model shows each of the controller's disks as a virtio-blk function of its own.
const (
	ControllerPIIX      ControllerModel = "piix-ide"
	ControllerAHCI      ControllerModel = "ahci"
	ControllerNVMe      ControllerModel = "nvme"
	ControllerBusLogic  ControllerModel = "buslogic"
	ControllerLSILogic  ControllerModel = "lsilogic"   // LSI 53c1030, 1000:0030
	ControllerLSISAS    ControllerModel = "lsisas1068" // 1000:0054
	ControllerPVSCSI    ControllerModel = "pvscsi"     // 15ad:07c0
	ControllerFloppy    ControllerModel = "floppy"     // i82078
	ControllerVirtioBlk ControllerModel = "virtio"     // 1af4:1042 per disk
)

// Controller is one storage controller.
type Controller struct {
	Bus   Bus
	Model ControllerModel
	Slot  PCISlot
	// SASWWID is the world-wide name of an LSI SAS adapter (scsiN.sasWWID), 0 if the file has none.
	SASWWID uint64
}

// Media is what kind of drive a disk is.
type Media string

// The kinds of drives.
const (
	MediaDisk   Media = "disk"
	MediaCDROM  Media = "cdrom"
	MediaFloppy Media = "floppy"
)

// Format is the format of an image file. It follows from the file's name, never from its contents.
type Format string

// The formats.
const (
	FormatRaw   Format = "raw" // .img, .raw, .bin, .dd, .flp, and .iso
	FormatVMDK  Format = "vmdk"
	FormatVHD   Format = "vhd"
	FormatVHDX  Format = "vhdx"
	FormatVDI   Format = "vdi"
	FormatQCOW2 Format = "qcow2"
)

var formatByExtension = map[string]Format{
	".raw": FormatRaw, ".img": FormatRaw, ".bin": FormatRaw, ".dd": FormatRaw, ".iso": FormatRaw, ".flp": FormatRaw,
	".vmdk": FormatVMDK, ".vhd": FormatVHD, ".avhd": FormatVHD, ".vhdx": FormatVHDX, ".avhdx": FormatVHDX,
	".vdi": FormatVDI, ".qcow2": FormatQCOW2,
}

// FormatOf is the format that the extension of path stands for.
func FormatOf(path string) (Format, error) {
	ext := strings.ToLower(filepath.Ext(path))
	if f, ok := formatByExtension[ext]; ok {
		return f, nil
	}
	return "", fmt.Errorf("%q: extension %q names no disk format (known: .vmdk .vhd .vhdx .vdi .qcow2 .raw .img .iso)", path, ext)
}

// DiskMode says how a disk takes part in snapshots.
type DiskMode string

// The modes.
const (
	ModePersistent               DiskMode = "persistent"                // part of snapshots
	ModeIndependentPersistent    DiskMode = "independent-persistent"    // left out of snapshots
	ModeIndependentNonpersistent DiskMode = "independent-nonpersistent" // writes are discarded at power-off
)

// Disk is a drive and its medium.
type Disk struct {
	Address      Address
	Media        Media
	Path         string // absolute; "" is a drive without medium (CD-ROM and floppy only)
	Format       Format // "" without medium
	HostDevice   bool   // Path is a device of the host (raw disk, physical CD-ROM)
	Mode         DiskMode
	ReadOnly     bool
	WriteThrough bool   // each write is durable before it completes
	Connected    bool   // medium inserted at power-on
	OpsCap       int64  // operations a second, 0 = no limit; beside what Machine.Limits says
	BytesCap     int64  // bytes a second, 0 = no limit
	Serial       string // what the guest reads as serial number, at most 20 printable ASCII bytes; "" = made from the address
}
