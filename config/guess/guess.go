// Package guess makes up a machine around a bare disk image or CD-ROM: the firmware that its boot loader was installed for, and the controller
// and network adapter that the system on it most likely has drivers for. It opens nothing: what was found on the disk is given to it.
package guess

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/internal/size"
)

// System is the kind of system that lies on a disk.
type System string

// The kinds.
const (
	Unknown System = "an unknown system"
	Windows System = "Windows"
	Linux   System = "Linux"
)

// Facts are what is known of an image and of its host.
type Facts struct {
	Path   string // absolute
	Format config.Format
	// CDROM says that the image is one of a CD-ROM.
	CDROM bool
	// BIOS and EFI say which firmware a CD-ROM names a boot image for.
	BIOS, EFI bool
	// Scheme is the partition table: "gpt", "mbr" or "".
	Scheme string
	// Partitions are the disk's.
	Partitions []Partition
	HostMemory int64 // bytes
	HostCPUs   int
}

// Partition is a partition of a disk.
type Partition struct {
	Kind       string // what its type means, in the words of package partition
	FileSystem string // as package guest names it, or ""
}

// Sizes of a made-up machine, in bytes; it never takes more than half of its host.
const (
	mib           = 1 << 20
	windowsMemory = 4096 * mib
	otherMemory   = 2048 * mib
	leastMemory   = 256 * mib
	mostCPUs      = 2
)

// Machine makes up a machine, and says in a sentence or two what it is and why.
func Machine(f Facts) (*config.Machine, []string) {
	system := f.system()
	m := config.New(strings.TrimSuffix(filepath.Base(f.Path), filepath.Ext(f.Path)))
	m.Folder = filepath.Dir(f.Path)
	m.UUID = uuid(f.Path)
	m.CPU.Count = max(1, min(mostCPUs, f.HostCPUs))
	m.CPU.CoresPerSocket = m.CPU.Count
	m.Memory = otherMemory
	m.GuestOS = "other-64"
	switch system {
	case Windows:
		m.Memory, m.GuestOS = windowsMemory, "windows9-64"
		m.CPU.Enlightened, m.Clock.LocalTime = true, true
	case Linux:
		m.GuestOS = "otherlinux-64"
	}
	m.Memory = max(leastMemory, min(m.Memory, f.HostMemory/2&^(4*mib-1)))
	firmware := "BIOS"
	if f.usesEFI() {
		firmware, m.Firmware.Kind = "UEFI", config.FirmwareEFI
	}
	m.Input.Tablet = true
	m.Serials = []config.Serial{{Kind: config.SerialConsole, Connected: true}}
	bus, model := f.controller(system)
	m.Controllers = []config.Controller{{Bus: bus, Model: model, Slot: config.NoSlot}}
	d := config.Disk{
		Address: config.Address{Bus: bus}, Media: config.MediaDisk, Path: f.Path, Format: f.Format, Mode: config.ModePersistent, Connected: true,
	}
	if f.CDROM {
		d.Media, d.ReadOnly = config.MediaCDROM, true
	}
	m.Disks = []config.Disk{d}
	m.NICs = []config.NIC{{Model: nic(system, f.Scheme), MAC: mac(m.UUID), MACSource: config.MACGenerated, Slot: config.NoSlot, Connection: config.ConnUser, Connected: true}}
	return m, []string{
		fmt.Sprintf("%s: %s", filepath.Base(f.Path), f.reason(system)),
		fmt.Sprintf("made up for it: a machine with %s, %d CPUs, %s of memory, %s as %s, %s on the user network; a .vmx of your own says otherwise",
			firmware, m.CPU.Count, size.Format(m.Memory), bus, model, m.NICs[0].Model),
	}
}

// reason says what the machine is concluded from.
func (f *Facts) reason(system System) string {
	if f.CDROM {
		switch {
		case f.EFI && f.BIOS:
			return "a CD-ROM that starts with BIOS and UEFI"
		case f.EFI:
			return "a CD-ROM that starts with UEFI alone"
		case f.BIOS:
			return "a CD-ROM that starts with BIOS alone"
		}
		return "a CD-ROM that names nothing to start"
	}
	table := map[string]string{"gpt": "a GPT", "mbr": "an MBR"}[f.Scheme]
	if table == "" {
		table = "no partition table"
	}
	if f.has("EFI system", "") {
		table += " with an EFI system partition"
	}
	return fmt.Sprintf("%s, and by its partitions %s", table, system)
}

// has says whether there is a partition of a kind, or with a file system.
func (f *Facts) has(kind, fileSystem string) bool {
	for _, p := range f.Partitions {
		if kind != "" && p.Kind == kind || fileSystem != "" && p.FileSystem == fileSystem {
			return true
		}
	}
	return false
}

// system tells by its partitions what lies on a disk. Windows comes first: beside Linux it is what a machine has to suit.
func (f *Facts) system() System {
	for _, p := range f.Partitions {
		if strings.HasPrefix(p.Kind, "Windows") || p.Kind == "Microsoft reserved" || p.FileSystem == "ntfs" || p.FileSystem == "bitlocker" {
			return Windows
		}
	}
	for _, p := range f.Partitions {
		if strings.HasPrefix(p.Kind, "Linux") {
			return Linux
		}
		switch p.FileSystem {
		case "ext2", "ext3", "ext4", "xfs", "btrfs", "lvm", "luks":
			return Linux
		}
	}
	return Unknown
}

// usesEFI says whether the machine starts by UEFI: a disk with a GPT and an EFI system partition, and a CD-ROM that nothing else can start.
func (f *Facts) usesEFI() bool {
	if f.CDROM {
		return f.EFI && !f.BIOS
	}
	return f.Scheme == "gpt" && f.has("EFI system", "")
}

// controller picks the controller by who made the image: VMware's and Virtual PC's own where the system was at home there, virtio where Linux
// ran on QEMU, and AHCI, which every system of this century knows, for everything else. Of a Hyper-V of the second generation nothing but a
// VMBus would be what it knows.
func (f *Facts) controller(system System) (config.Bus, config.ControllerModel) {
	scsi, sata, ide := config.Bus{Kind: config.BusSCSI}, config.Bus{Kind: config.BusSATA}, config.Bus{Kind: config.BusIDE}
	switch {
	case f.CDROM:
		return sata, config.ControllerAHCI
	case f.Format == config.FormatVMDK && system == Windows:
		return scsi, config.ControllerLSISAS
	case f.Format == config.FormatVMDK && system == Linux:
		return scsi, config.ControllerLSILogic
	case f.Format == config.FormatQCOW2 && system == Linux:
		return scsi, config.ControllerVirtioBlk
	case f.Format == config.FormatVHD, f.Format == config.FormatVHDX && !f.usesEFI():
		return ide, config.ControllerPIIX
	}
	return sata, config.ControllerAHCI
}

// nic picks the network adapter.
func nic(system System, scheme string) config.NICModel {
	switch {
	case system == Linux:
		return config.NICVirtio
	case scheme == "mbr": // of the age of Windows 7, which knows no newer one
		return config.NICE1000
	}
	return config.NICE1000E
}

// uuid is the same for an image wherever it is started from: Windows ties its activation to it (RFC 9562, version 8, in SMBIOS's order of bytes).
func uuid(path string) (u config.UUID) {
	sum := sha256.Sum256([]byte(path))
	copy(u[:], sum[:])
	u[7], u[8] = u[7]&0x0f|0x80, u[8]&0x3f|0x80
	return u
}

// mac is a locally administered address that goes with a machine's UUID.
func mac(u config.UUID) config.MAC { return config.MAC{0x02, u[0], u[1], u[2], u[3], u[4]} }
