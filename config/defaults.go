package config

import "strings"

// Limits that Validate enforces.
const (
	MaxCPUs    = 255
	MaxMemory  = 16 << 40 // bytes
	MaxHeads   = 10
	MaxNICs    = 10
	MaxSerials = 4
	MaxPublish = 1024 // port forwards of one adapter
	MaxRules   = 256  // entries of an allow-list
	MaxCmdline = 2047 // bytes: COMMAND_LINE_SIZE of x86 less the final zero
)

// DefaultMemory is VMware's for a file without memsize.
const DefaultMemory = 32 << 20

// New returns a machine with VMware's defaults and no devices beyond what every PC has.
func New(name string) *Machine {
	return &Machine{
		Name:     name,
		Memory:   DefaultMemory,
		CPU:      CPU{Count: 1, CoresPerSocket: 1},
		Board:    BoardPC,
		Firmware: Firmware{Kind: FirmwareBIOS},
		Display:  Display{VRAM: 16 << 20, Heads: 1},
		USB:      USB{UHCISlot: NoSlot, EHCISlot: NoSlot, XHCISlot: NoSlot},
		Sound:    Sound{Slot: NoSlot},
		Clock:    Clock{HPET: true},
		Power:    Power{Off: PowerSoft, Reset: PowerSoft, Suspend: PowerHard},
		Tools:    Tools{Backdoor: true},
		Run:      Run{Priority: PriorityNormal, Overlay: OverlayNone, Balloon: true},
	}
}

// SetKernel makes m a direct-boot machine on the fast board: every disk and network adapter becomes virtio and keeps
// its address, MAC and slot.
func (m *Machine) SetKernel(kernel, initrd, cmdline string) {
	m.Boot = Boot{Kernel: kernel, Initrd: initrd, Cmdline: cmdline}
	m.Firmware.Kind = FirmwareDirect
	m.Board = BoardFast
	for i := range m.Controllers {
		m.Controllers[i].Model = ControllerVirtioBlk
	}
	for i := range m.NICs {
		m.NICs[i].Model = NICVirtio
	}
}

// DisplayAdapter is the graphics card that the machine has: the board's own where none was asked for.
func (m *Machine) DisplayAdapter() DisplayAdapter {
	switch {
	case m.Display.Adapter != DisplayAuto:
		return m.Display.Adapter
	case m.Board == BoardPC:
		return DisplayVGA
	}
	return DisplayNone
}

// IsWindows reports whether a guestOS value in VMware's spelling names a Windows system.
func IsWindows(guestOS string) bool {
	g := strings.ToLower(guestOS)
	return strings.HasPrefix(g, "win") || strings.HasPrefix(g, "longhorn")
}

// Is64Bit reports whether a guestOS value in VMware's spelling names a 64-bit system.
func Is64Bit(guestOS string) bool {
	g := strings.ToLower(guestOS)
	return strings.HasSuffix(g, "-64") || strings.HasPrefix(g, "vmkernel")
}

// DefaultNIC is the adapter that VMware gives a guest whose file names none: e1000 for 64-bit systems and for Windows
// since Vista, e1000e for Windows since 8, vlance for everything else.
func DefaultNIC(guestOS string) NICModel {
	g := strings.ToLower(guestOS)
	switch {
	case strings.HasPrefix(g, "windows8"), strings.HasPrefix(g, "windows9"), strings.HasPrefix(g, "windows1"), strings.HasPrefix(g, "windows2"):
		return NICE1000E
	case Is64Bit(g), strings.HasPrefix(g, "windows7"), strings.HasPrefix(g, "winvista"), strings.HasPrefix(g, "longhorn"), strings.HasPrefix(g, "darwin"):
		return NICE1000
	}
	return NICVlance
}

// DefaultSCSI is the SCSI adapter for a guest whose file names none. VMware documents only that it depends on the system;
// this is the one that the system has a driver for: BusLogic before Windows Server 2003, LSI SAS for Windows since
// Vista, which has nothing for the 53c1030 in its later versions, and LSI Logic for everything else.
func DefaultSCSI(guestOS string) ControllerModel {
	g := strings.ToLower(guestOS)
	switch {
	case g == "winnt", strings.HasPrefix(g, "win2000"), strings.HasPrefix(g, "winxp") && !Is64Bit(g), g == "win95", g == "win98":
		return ControllerBusLogic
	case strings.HasPrefix(g, "windows"), strings.HasPrefix(g, "winvista"), strings.HasPrefix(g, "longhorn"):
		return ControllerLSISAS
	}
	return ControllerLSILogic
}
