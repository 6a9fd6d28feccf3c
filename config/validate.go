package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// ErrInvalid is wrapped by every error of Validate.
var ErrInvalid = errors.New("machine cannot be built as described")

// Validate reports everything about m that no board could build: each problem one error that wraps [ErrInvalid], joined.
// It opens no file.
func (m *Machine) Validate() error {
	v := validator{}
	v.core(m)
	v.boot(m)
	v.storage(m)
	v.network(m)
	v.ports(m)
	v.wishes(m)
	return errors.Join(v.errs...)
}

type validator struct{ errs []error }

func (v *validator) check(ok bool, format string, args ...any) {
	if !ok {
		v.errs = append(v.errs, fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...)))
	}
}

func oneOf[T ~string](v T, choices ...T) bool { return slices.Contains(choices, v) }

func (v *validator) core(m *Machine) {
	const mib = 1 << 20
	v.check(m.Memory >= 4*mib && m.Memory <= MaxMemory, "memory is %d MiB, must be 4 MiB to 16 TiB", m.Memory/mib)
	v.check(m.Memory%(4*mib) == 0, "memory is %d bytes, must be a multiple of 4 MiB", m.Memory)
	c := m.CPU
	v.check(c.Count >= 1 && c.Count <= MaxCPUs, "%d virtual CPUs, must be 1 to %d", c.Count, MaxCPUs)
	v.check(c.CoresPerSocket >= 1 && c.Count%max(c.CoresPerSocket, 1) == 0,
		"%d virtual CPUs cannot be split into sockets of %d cores", c.Count, c.CoresPerSocket)
	v.check(c.Shares >= 0 && c.LimitMHz >= 0, "CPU shares %d and limit %d MHz cannot be negative", c.Shares, c.LimitMHz)
	v.check(!strings.ContainsAny(m.Name, "\x00\n\r"), "the name %q must be one line", m.Name)
	d := m.Display
	v.check(d.VRAM >= 1*mib && d.VRAM <= 1024*mib, "%d bytes of video memory, must be 1 MiB to 1 GiB", d.VRAM)
	v.check(oneOf(d.Adapter, DisplayAuto, DisplayVGA, DisplayVirtio, DisplayNone), "unknown graphics card %q (vga, virtio, none)", d.Adapter)
	v.check(d.Adapter != DisplayVGA || m.Board != BoardFast, "the fast board has no place for a VGA: use virtio")
	v.check(d.Heads >= 1 && d.Heads <= MaxHeads, "%d screens, must be 1 to %d", d.Heads, MaxHeads)
	v.check(d.Width >= 0 && d.Width <= 16384 && d.Height >= 0 && d.Height <= 16384, "screen of %dx%d, must be at most 16384x16384", d.Width, d.Height)
	v.vnc(d.VNC)
}

func (v *validator) vnc(s VNC) {
	if !s.Enabled {
		return
	}
	addr, err := netip.ParseAddr(s.Address)
	v.check(err == nil, "VNC address %q is not an IP address", s.Address)
	v.check(s.Port >= 0 && s.Port <= 65535, "VNC port %d is out of range", s.Port)
	v.check(err != nil || addr.IsLoopback() || s.Password != "",
		"VNC on %s would be open to the network without a password: set one, or listen on 127.0.0.1", s.Address)
}

func (v *validator) boot(m *Machine) {
	v.check(oneOf(m.Board, BoardFast, BoardPC), "unknown board %q (fast or pc)", m.Board)
	v.check(oneOf(m.Firmware.Kind, FirmwareDirect, FirmwareBIOS, FirmwareEFI), "unknown firmware %q (bios or efi)", m.Firmware.Kind)
	direct := m.Firmware.Kind == FirmwareDirect
	v.check(!direct || m.Boot.Kernel != "", "a machine without firmware needs a kernel")
	v.check(direct || m.Boot.Kernel == "", "a machine with a kernel boots it directly, not by %s", m.Firmware.Kind)
	v.check(direct || m.Board != BoardFast, "the fast board has no firmware and needs a kernel")
	v.check(m.Boot.Kernel != "" || m.Boot.Initrd == "" && m.Boot.Cmdline == "", "an initrd or a command line needs a kernel")
	v.check(!m.Firmware.SecureBoot || m.Firmware.Kind == FirmwareEFI, "Secure Boot needs EFI firmware")
	v.check(m.Firmware.BootDelay >= 0 && m.Firmware.BootDelay.Seconds() <= 100, "boot delay %v, must be at most 100 s", m.Firmware.BootDelay)
	v.check(len(m.KernelCmdline()) <= MaxCmdline, "the kernel command line has %d bytes, at most %d fit", len(m.KernelCmdline()), MaxCmdline)
	v.check(!strings.ContainsAny(m.Boot.Cmdline, "\x00\n"), "the kernel command line must be one line")
	v.path("kernel", m.Boot.Kernel)
	v.path("initrd", m.Boot.Initrd)
	v.path("nvram", m.Firmware.NVRAM)
	v.path("EFI variable store", m.Firmware.Variables)
	v.path("TPM state folder", m.TPM.State)
	v.check(!m.TPM.Present || m.TPM.State != "", "the TPM needs a folder for its state")
	v.path("machine folder", m.Folder)
}

func (v *validator) path(what, path string) {
	v.check(path == "" || filepath.IsAbs(path) && !strings.Contains(path, "\x00"), "%s path %q must be absolute", what, path)
}

func (v *validator) storage(m *Machine) {
	controllers := map[Bus]bool{}
	for _, c := range m.Controllers {
		v.check(!controllers[c.Bus], "controller %s is described twice", c.Bus)
		controllers[c.Bus] = true
		v.check(controllerFits(c.Bus.Kind, c.Model), "%s cannot be a %q", c.Bus, c.Model)
		v.check(m.Board != BoardFast || c.Model == ControllerVirtioBlk, "%s is a %s, but the fast board has virtio disks only", c.Bus, c.Model)
		v.check(c.Slot.Valid(), "%s has impossible PCI slot %d", c.Bus, c.Slot)
	}
	places, writers := map[Address]bool{}, map[string]Address{}
	for i := range m.Disks {
		d := &m.Disks[i]
		v.check(!places[d.Address], "two disks at %s", d.Address)
		places[d.Address] = true
		v.check(controllers[d.Address.Bus], "disk %s has no controller %s", d.Address, d.Address.Bus)
		if d.Path != "" {
			other, seen := writers[d.Path]
			v.check(!seen || d.ReadOnly, "%s and %s both use %s", other, d.Address, d.Path)
			if !d.ReadOnly {
				writers[d.Path] = d.Address
			}
		}
		v.disk(d)
	}
}

func controllerFits(kind BusKind, model ControllerModel) bool {
	switch kind {
	case BusSCSI:
		return oneOf(model, ControllerBusLogic, ControllerLSILogic, ControllerLSISAS, ControllerPVSCSI, ControllerVirtioBlk)
	case BusSATA:
		return oneOf(model, ControllerAHCI, ControllerVirtioBlk)
	case BusNVMe:
		return oneOf(model, ControllerNVMe, ControllerVirtioBlk)
	case BusIDE:
		return oneOf(model, ControllerPIIX, ControllerVirtioBlk)
	case BusFloppy:
		return oneOf(model, ControllerFloppy, ControllerVirtioBlk)
	}
	return false
}

func (v *validator) disk(d *Disk) {
	v.check(d.Address.Valid(), "no such disk address: %s", d.Address)
	v.check(oneOf(d.Media, MediaDisk, MediaCDROM, MediaFloppy), "disk %s has unknown kind %q", d.Address, d.Media)
	v.check((d.Media == MediaFloppy) == (d.Address.Kind == BusFloppy), "a %s cannot sit at %s", d.Media, d.Address)
	v.check(d.Media != MediaDisk || d.Path != "", "disk %s names no file", d.Address)
	v.check(d.Media != MediaCDROM || d.ReadOnly, "CD-ROM %s must be read-only", d.Address)
	v.check(d.Path == "" || oneOf(d.Format, FormatRaw, FormatVMDK, FormatVHD, FormatVHDX, FormatVDI, FormatQCOW2),
		"disk %s (%s) has unknown format %q", d.Address, d.Path, d.Format)
	v.check(oneOf(d.Mode, ModePersistent, ModeIndependentPersistent, ModeIndependentNonpersistent),
		"disk %s has unknown mode %q (persistent, independent-persistent, independent-nonpersistent)", d.Address, d.Mode)
	v.path("disk "+d.Address.String(), d.Path)
	v.check(d.OpsCap >= 0 && d.BytesCap >= 0, "disk %s cannot have negative limits", d.Address)
	printable := !strings.ContainsFunc(d.Serial, func(r rune) bool { return r < ' ' || r > '~' })
	v.check(len(d.Serial) <= 20 && printable, "disk %s has serial %q, at most 20 printable ASCII characters fit", d.Address, d.Serial)
}

func (v *validator) network(m *Machine) {
	indices, macs := map[int]bool{}, map[MAC]int{}
	for _, n := range m.NICs {
		v.check(n.Index >= 0 && n.Index < MaxNICs, "ethernet%d does not exist (0 to %d)", n.Index, MaxNICs-1)
		v.check(!indices[n.Index], "two network adapters ethernet%d", n.Index)
		indices[n.Index] = true
		v.check(oneOf(n.Model, NICVlance, NICE1000, NICE1000E, NICVmxnet3, NICVirtio), "ethernet%d has unknown model %q", n.Index, n.Model)
		v.check(m.Board != BoardFast || n.Model == NICVirtio, "ethernet%d is a %s, but the fast board has virtio adapters only", n.Index, n.Model)
		v.check(oneOf(n.Connection, ConnUser, ConnHostOnly, ConnBridged, ConnTap, ConnNone), "ethernet%d has unknown connection %q", n.Index, n.Connection)
		v.check(n.Interface != "" || !oneOf(n.Connection, ConnTap, ConnBridged), "ethernet%d is %s but names no interface of the host", n.Index, n.Connection)
		v.check(n.Interface == "" || validInterface(n.Interface), "ethernet%d: %q is not the name of a network interface", n.Index, n.Interface)
		v.check(len(n.Publish) == 0 || n.Connection == ConnUser, "ethernet%d publishes ports, which only a user-mode network can", n.Index)
		v.check(len(n.Publish) <= MaxPublish, "ethernet%d publishes %d ports, at most %d", n.Index, len(n.Publish), MaxPublish)
		v.check(len(n.Allow) <= MaxRules, "ethernet%d has an allow-list of %d entries, at most %d", n.Index, len(n.Allow), MaxRules)
		v.check(len(n.Allow) == 0 && !n.LAN || n.Connection == ConnUser, "ethernet%d has rules of what it may reach, which only a user-mode network can have", n.Index)
		v.check(n.Boot == NetBoot{} || oneOf(n.Connection, ConnUser, ConnHostOnly), "ethernet%d has something to boot by TFTP, which only a user-mode network can", n.Index)
		v.path(fmt.Sprintf("ethernet%d's TFTP folder", n.Index), n.Boot.Folder)
		for _, f := range []string{n.Boot.File, n.Boot.Script} {
			ok := len(f) <= MaxBootFile && !strings.ContainsFunc(f, func(r rune) bool { return r < ' ' || r > '~' })
			v.check(ok, "ethernet%d is to boot %q, but a name has at most %d printable ASCII characters", n.Index, f, MaxBootFile)
		}
		v.check(n.Slot.Valid(), "ethernet%d has impossible PCI slot %d", n.Index, n.Slot)
		v.check(n.MAC[0]&1 == 0, "ethernet%d has multicast address %s", n.Index, n.MAC)
		if n.MAC != (MAC{}) {
			other, seen := macs[n.MAC]
			v.check(!seen, "ethernet%d and ethernet%d have the same address %s", other, n.Index, n.MAC)
			macs[n.MAC] = n.Index
		}
	}
}

// validInterface follows the kernel's dev_valid_name: at most 15 bytes, no slash, colon or white space.
func validInterface(name string) bool {
	return len(name) <= 15 && name != "." && name != ".." && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '/' || r == ':'
	})
}

func (v *validator) ports(m *Machine) {
	indices, consoles := map[int]bool{}, 0
	for _, s := range m.Serials {
		v.check(s.Index >= 0 && s.Index < MaxSerials, "serial%d does not exist (0 to %d)", s.Index, MaxSerials-1)
		v.check(!indices[s.Index], "two serial ports serial%d", s.Index)
		indices[s.Index] = true
		v.path(fmt.Sprintf("serial%d", s.Index), s.Path)
		v.check(s.Path == "" || !slices.Contains(m.files(), s.Path), "serial%d would write into %s, which the machine reads", s.Index, s.Path)
		switch s.Kind {
		case SerialNull:
		case SerialConsole:
			consoles++
		case SerialFile, SerialPipe, SerialDevice:
			v.check(s.Path != "", "serial%d goes to a %s but names none", s.Index, s.Kind)
		case SerialNetwork:
			v.check(s.Address != "", "serial%d goes to the network but names no address", s.Index)
		default:
			v.check(false, "serial%d has unknown kind %q", s.Index, s.Kind)
		}
	}
	v.check(consoles <= 1, "%d serial ports want the terminal, there is one", consoles)
	bridges := map[int]bool{}
	for _, b := range m.Bridges {
		v.check(!bridges[b.Index], "two bridges pciBridge%d", b.Index)
		bridges[b.Index] = true
		v.check(b.Index >= 0 && b.Index < 31, "pciBridge%d does not exist (0 to 30)", b.Index)
		v.check(b.Functions >= 1 && b.Functions <= 8, "pciBridge%d has %d functions, must be 1 to 8", b.Index, b.Functions)
		v.check(b.Slot.Valid(), "pciBridge%d has impossible PCI slot %d", b.Index, b.Slot)
	}
	v.check(m.Vsock.CID == 0 || m.Vsock.CID >= 3 && m.Vsock.CID != 1<<32-1, "vsock context id %d is reserved", m.Vsock.CID)
}

// files lists the files that the machine reads.
func (m *Machine) files() []string {
	paths := []string{m.Boot.Kernel, m.Boot.Initrd, m.Firmware.NVRAM, m.Firmware.Variables}
	for i := range m.Disks {
		paths = append(paths, m.Disks[i].Path)
	}
	return paths
}

func (v *validator) wishes(m *Machine) {
	r := m.Run
	err := m.Limits.valid()
	v.check(err == nil, "%v", err)
	v.check(oneOf(r.Priority, PriorityLow, PriorityNormal, PriorityHigh), "unknown priority %q (low, normal, high)", r.Priority)
	v.check(oneOf(r.Overlay, OverlayNone, OverlayDisposable, OverlayKeep), "unknown overlay %q (none, disposable, keep)", r.Overlay)
	v.check(oneOf(r.Clipboard, ClipboardAuto, ClipboardOff, ClipboardIn, ClipboardOut, ClipboardBoth), "unknown clipboard %q (off, in, out, both)", r.Clipboard)
	v.check(!r.Instant || m.Forgets(), "a machine that starts from a snapshot each time must forget what it writes (vmm.overlay = \"disposable\"), and have no TPM")
	v.check(!r.Instant || r.Agent, "a machine that starts from a snapshot each time has to be told so, or its clock is wrong and its random numbers are those of the last time (vmm.agent = \"TRUE\")")
	v.check(oneOf(m.Input.Model, InputAuto, InputVirtio, InputNone), "unknown input devices %q (virtio, none)", m.Input.Model)
	v.check(oneOf(m.Sound.Model, SoundNone, SoundHDA, SoundES1371, SoundSB16), "unknown sound card %q", m.Sound.Model)
	v.check(oneOf(m.Power.Off, PowerSoft, PowerHard) && oneOf(m.Power.Reset, PowerSoft, PowerHard) && oneOf(m.Power.Suspend, PowerSoft, PowerHard),
		"power actions %q, %q, %q must be soft or hard", m.Power.Off, m.Power.Reset, m.Power.Suspend)
}
