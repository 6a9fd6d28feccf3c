package guess

import (
	"strings"
	"testing"

	"github.com/sharevm/vmm/config"
)

func TestMachine(t *testing.T) {
	esp, msr := Partition{Kind: "EFI system", FileSystem: "fat32"}, Partition{Kind: "Microsoft reserved"}
	ntfs, ext4 := Partition{Kind: "Microsoft basic data", FileSystem: "ntfs"}, Partition{Kind: "Linux", FileSystem: "ext4"}
	gpt := func(p ...Partition) Facts { return Facts{Scheme: "gpt", Partitions: p} }
	mbr := func(p ...Partition) Facts { return Facts{Scheme: "mbr", Partitions: p} }
	for _, test := range []struct {
		name     string
		facts    Facts
		format   config.Format
		firmware config.FirmwareKind
		at       string
		model    config.ControllerModel
		nic      config.NICModel
		memory   int64 // MiB
		says     string
	}{
		{"Windows of Hyper-V, generation 2", gpt(esp, msr, ntfs), config.FormatVHDX, config.FirmwareEFI, "sata0:0", config.ControllerAHCI, config.NICE1000E, 4096, "GPT with an EFI system partition, and by its partitions Windows"},
		{"Windows of Hyper-V, generation 1", mbr(Partition{Kind: "NTFS or exFAT", FileSystem: "ntfs"}), config.FormatVHDX, config.FirmwareBIOS, "ide0:0", config.ControllerPIIX, config.NICE1000, 4096, "an MBR"},
		{"Windows of Virtual PC", mbr(Partition{FileSystem: "ntfs"}), config.FormatVHD, config.FirmwareBIOS, "ide0:0", config.ControllerPIIX, config.NICE1000, 4096, "Windows"},
		{"Windows of VMware", gpt(esp, ntfs), config.FormatVMDK, config.FirmwareEFI, "scsi0:0", config.ControllerLSISAS, config.NICE1000E, 4096, "Windows"},
		{"encrypted Windows", gpt(esp, Partition{FileSystem: "bitlocker"}), config.FormatVMDK, config.FirmwareEFI, "scsi0:0", config.ControllerLSISAS, config.NICE1000E, 4096, "Windows"},
		{"Linux of VMware", mbr(ext4), config.FormatVMDK, config.FirmwareBIOS, "scsi0:0", config.ControllerLSILogic, config.NICVirtio, 2048, "Linux"},
		{"Linux of QEMU", gpt(Partition{Kind: "BIOS boot"}, ext4), config.FormatQCOW2, config.FirmwareBIOS, "scsi0:0", config.ControllerVirtioBlk, config.NICVirtio, 2048, "Linux"},
		{"Linux of VirtualBox", mbr(Partition{Kind: "Linux LVM"}), config.FormatVDI, config.FirmwareBIOS, "sata0:0", config.ControllerAHCI, config.NICVirtio, 2048, "Linux"},
		{"both", gpt(esp, ext4, msr, ntfs), config.FormatRaw, config.FirmwareEFI, "sata0:0", config.ControllerAHCI, config.NICE1000E, 4096, "Windows"},
		{"EFI on an MBR", mbr(esp, ext4), config.FormatRaw, config.FirmwareBIOS, "sata0:0", config.ControllerAHCI, config.NICVirtio, 2048, "an MBR"},
		{"nothing known", Facts{}, config.FormatRaw, config.FirmwareBIOS, "sata0:0", config.ControllerAHCI, config.NICE1000E, 2048, "no partition table, and by its partitions an unknown system"},
		{"CD-ROM of both kinds", Facts{CDROM: true, BIOS: true, EFI: true}, config.FormatRaw, config.FirmwareBIOS, "sata0:0", config.ControllerAHCI, config.NICE1000E, 2048, "BIOS and UEFI"},
		{"CD-ROM of UEFI", Facts{CDROM: true, EFI: true}, config.FormatRaw, config.FirmwareEFI, "sata0:0", config.ControllerAHCI, config.NICE1000E, 2048, "UEFI alone"},
		{"CD-ROM of nothing", Facts{CDROM: true}, config.FormatRaw, config.FirmwareBIOS, "sata0:0", config.ControllerAHCI, config.NICE1000E, 2048, "nothing to start"},
		{"small host", Facts{HostMemory: 1<<30 + 12345, HostCPUs: 1}, config.FormatRaw, config.FirmwareBIOS, "sata0:0", config.ControllerAHCI, config.NICE1000E, 512, ""},
		{"tiny host", Facts{HostMemory: 64 << 20, HostCPUs: 1}, config.FormatRaw, config.FirmwareBIOS, "sata0:0", config.ControllerAHCI, config.NICE1000E, 256, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := test.facts
			f.Path, f.Format = "/images/my disk.x", test.format
			if f.HostMemory == 0 {
				f.HostMemory, f.HostCPUs = 64<<30, 16
			}
			m, says := Machine(f)
			if err := m.Validate(); err != nil {
				t.Fatal(err)
			}
			if m.Firmware.Kind != test.firmware || m.Disks[0].Address.String() != test.at || m.Controllers[0].Model != test.model ||
				m.NICs[0].Model != test.nic || m.Memory != test.memory<<20 {
				t.Errorf("%s, %s as %s, %s, %d MiB", m.Firmware.Kind, m.Disks[0].Address, m.Controllers[0].Model, m.NICs[0].Model, m.Memory>>20)
			}
			if m.Name != "my disk" || m.Folder != "/images" || m.Disks[0].Path != f.Path || m.UUID.IsZero() || m.CPU.Count != min(2, f.HostCPUs) {
				t.Errorf("%q in %s, disk %s, %d CPUs", m.Name, m.Folder, m.Disks[0].Path, m.CPU.Count)
			}
			if m.CPU.Enlightened != config.IsWindows(m.GuestOS) || (m.Disks[0].Media == config.MediaCDROM) != f.CDROM {
				t.Errorf("enlightened %v for %s, medium %s", m.CPU.Enlightened, m.GuestOS, m.Disks[0].Media)
			}
			if len(says) != 2 || !strings.Contains(says[0], test.says) || strings.Contains(says[0]+says[1], "\n") {
				t.Errorf("it says %q, want %q", says, test.says)
			}
			if again, _ := Machine(f); again.UUID != m.UUID || again.NICs[0].MAC != m.NICs[0].MAC {
				t.Error("the next start is another machine")
			}
		})
	}
}
