package config

import "time"

// Machine describes one virtual machine. The zero value is not runnable: start from [New] or from a reader.
type Machine struct {
	Name       string // what people call it; one line
	Annotation string // free text, may hold several lines
	GuestOS    string // the guest's kind in VMware's spelling ("windows9-64", "debian12-64"), "" if unknown
	Folder     string // absolute folder that the machine's own files (state, variable store) are kept in, "" if it has none
	UUID       UUID   // SMBIOS system UUID; the zero value means that the runner makes one up
	Memory     int64  // guest RAM in bytes, a multiple of 4 MiB
	CPU        CPU
	Board      Board
	Firmware   Firmware
	Boot       Boot

	Bridges     []PCIBridge  // PCI-to-PCI bridges and root ports, in order of Index
	Controllers []Controller // every storage controller that a disk needs, in order of Bus
	Disks       []Disk       // in order of Address; drives without medium included
	NICs        []NIC        // in order of Index
	Serials     []Serial     // in order of Index

	Display Display
	Input   Input
	USB     USB
	Sound   Sound
	TPM     TPM
	Clock   Clock
	Vsock   Vsock
	Power   Power
	Tools   Tools
	Limits  Limits
	Run     Run
}

// Board is the shape of the machine around the CPUs.
type Board string

// The boards.
const (
	BoardFast Board = "fast" // direct kernel boot, no firmware, every disk and NIC is virtio
	BoardPC   Board = "pc"   // Q35/ICH9 shape with the controllers as configured; firmware, or a kernel handed over directly
)

// CPU is what the guest sees of processors.
type CPU struct {
	Count          int  // virtual CPUs, 1..[MaxCPUs]
	CoresPerSocket int  // divides Count
	Nested         bool // the guest may run virtual machines itself (vhv.enable)
	HideHypervisor bool // clear the hypervisor-present bit and leaves (hypervisor.cpuid.v0 = FALSE)
	Enlightened    bool // offer the Hyper-V enlightenments: set for Windows guests
	Shares         int  // relative weight under contention, 0 = default (VMware: low 500, normal 1000, high 2000 a CPU)
	LimitMHz       int  // upper bound in MHz over all CPUs, 0 = none
}

// Sockets is the number of processor packages.
func (c CPU) Sockets() int {
	if c.CoresPerSocket <= 0 {
		return c.Count
	}
	return c.Count / c.CoresPerSocket
}

// FirmwareKind says what runs first.
type FirmwareKind string

// The kinds of Firmware.
const (
	FirmwareDirect FirmwareKind = "direct" // none: Boot.Kernel is entered straight away
	FirmwareBIOS   FirmwareKind = "bios"
	FirmwareEFI    FirmwareKind = "efi"
)

// Firmware is what runs before the guest's loader.
type Firmware struct {
	Kind       FirmwareKind
	SecureBoot bool          // EFI only
	NVRAM      string        // the foreign variable store (VMware's .nvram): kept, never parsed; "" if none
	Variables  string        // our own EFI variable store, created at need; "" puts none on disk
	BootOrder  []string      // "hdd", "cdrom", "floppy", "ethernet0", or a disk address "scsi0:1"; empty = firmware's choice
	BootDelay  time.Duration // wait before booting, 0..100 s
	SetupOnce  bool          // enter set-up at this boot
}

// Boot is what a direct boot loads. The paths are absolute.
type Boot struct {
	Kernel  string // bzImage or PVH ELF; "" boots by firmware
	Initrd  string // "" for none
	Cmdline string // at most [MaxCmdline] bytes
}

// PCIBridge is a bridge that PCISlot numbers of other devices refer to.
type PCIBridge struct {
	Index     int // the N of pciBridgeN
	Slot      PCISlot
	RootPort  bool // a PCI Express root port; otherwise a conventional bridge
	Functions int  // 1..8: the root port repeats itself as that many functions
}

// DisplayAdapter is the model of the graphics card.
type DisplayAdapter string

// The graphics cards.
const (
	DisplayAuto   DisplayAdapter = "" // a VGA on the PC board, none on the fast one
	DisplayVGA    DisplayAdapter = "vga"
	DisplayVirtio DisplayAdapter = "virtio" // virtio-gpu: firmware shows nothing on it
	DisplayNone   DisplayAdapter = "none"
)

// Display is the picture.
type Display struct {
	Adapter    DisplayAdapter
	VRAM       int64 // bytes of video memory
	Heads      int   // 1..[MaxHeads]
	Width      int   // largest (and for a kiosk preferred) width in pixels, 0 = no wish
	Height     int   // in pixels, 0 = no wish
	FullScreen bool  // go full screen at power-on
	VNC        VNC
}

// VNC is a remote frame buffer server for the machine.
type VNC struct {
	Enabled  bool
	Address  string // IP address to listen on; loopback unless the file named another
	Port     int    // TCP
	Password string // at most 8 bytes count (RFB 3.8, section 7.2.2); needed unless Address is loopback
	KeyMap   string // layout hint, "" for none
}

// InputModel says by what devices the user's keys and pointer reach the guest.
type InputModel string

// The models of Input.
const (
	InputAuto   InputModel = ""       // PS/2 on the PC board, and virtio where the guest is likely to have its driver and somebody to look
	InputVirtio InputModel = "virtio" // a virtio keyboard and tablet, beside what the board has
	InputNone   InputModel = "none"   // what the board has and no more
)

// Input is what the user types and points with.
type Input struct {
	Model  InputModel
	Tablet bool // absolute pointer beside the PS/2 keyboard and mouse
}

// USB says which host controllers exist.
type USB struct {
	UHCI, EHCI, XHCI             bool
	UHCISlot, EHCISlot, XHCISlot PCISlot
}

// SoundModel is a sound card.
type SoundModel string

// The sound cards.
const (
	SoundNone   SoundModel = ""
	SoundHDA    SoundModel = "hdaudio"
	SoundES1371 SoundModel = "es1371"
	SoundSB16   SoundModel = "sb16"
)

// Sound is the sound card, if any.
type Sound struct {
	Model SoundModel
	Slot  PCISlot
}

// TPM is a TPM 2.0 with a CRB interface.
type TPM struct {
	Present bool
	State   string // absolute folder that keeps its state
}

// Clock is how the real-time clock starts.
type Clock struct {
	LocalTime bool          // the CMOS clock holds local time: Windows
	Offset    time.Duration // added to the host's clock
	Start     time.Time     // start at this time instead of the host's; zero = host's
	HPET      bool
}

// Vsock is the host-guest socket device.
type Vsock struct {
	CID uint32 // guest context id, 3 or more; 0 = no device
}

// PowerAction says how a machine is asked to stop.
type PowerAction string

// The ways to stop.
const (
	PowerSoft PowerAction = "soft" // press the power button, let the guest decide
	PowerHard PowerAction = "hard"
)

// Power holds the default actions.
type Power struct {
	Off, Reset, Suspend PowerAction
}

// Tools is what the VMware backdoor offers to the guest's agents.
type Tools struct {
	Backdoor  bool // answer port 0x5658
	SyncTime  bool
	NoCopy    bool // clipboard guest to host is off
	NoPaste   bool // clipboard host to guest is off
	GuestInfo map[string]string
}
