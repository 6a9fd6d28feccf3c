package vmx

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sharevm/vmm/config"
)

// hardwareVersion is the virtual hardware that new files ask for: Workstation 15 and Fusion 11 (2018) and later open it.
const hardwareVersion = "16"

// defaultGuestOS stands for a machine that names no system: a .vmx has to.
const defaultGuestOS = "otherlinux-64"

// New writes m as a new .vmx file that VMware opens too: devices and images that VMware does not know are named by vmm.
// keys alone. The files of m must lie in folder and are named relative to it; the caller then saves the file there.
//
// [Load] of the saved file with the same wishes gives m again, the parts that a .vmx has no key for (Folder, Variables,
// TPM.State, CPU.Enlightened, Clock.LocalTime) being derived from the rest.
func New(m *config.Machine, folder string) (*File, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("writing machine %q: %w", m.Name, err)
	}
	f, err := Parse(m.Name+".vmx", []byte(".encoding = \"UTF-8\"\nconfig.version = \"8\"\nvirtualHW.version = \""+hardwareVersion+"\"\n"))
	if err != nil {
		return nil, err
	}
	w := &writer{f: f, folder: folder, m: m}
	w.core()
	w.boot()
	w.bridges()
	w.storage()
	w.network()
	w.ports()
	w.peripherals()
	w.limits()
	w.wishes()
	if w.err != nil {
		return nil, fmt.Errorf("writing machine %q: %w", m.Name, w.err)
	}
	return f, nil
}

// writer collects the keys of a new file; the first error stays.
type writer struct {
	f      *File
	folder string
	m      *config.Machine
	err    error
}

func (w *writer) set(key, value string) {
	if w.err == nil {
		w.err = w.f.Set(key, value)
	}
}

// text sets a key unless the value is empty.
func (w *writer) text(key, value string) {
	if value != "" {
		w.set(key, value)
	}
}

// number sets a key unless the value is what a missing key means.
func (w *writer) number(key string, value, def int64) {
	if value != def {
		w.set(key, strconv.FormatInt(value, 10))
	}
}

func (w *writer) bool(key string, value, def bool) {
	if value != def {
		w.set(key, strings.ToUpper(strconv.FormatBool(value)))
	}
}

func (w *writer) on(key string) { w.set(key, "TRUE") }

func (w *writer) slot(device string, s config.PCISlot) {
	w.number(device+".pciSlotNumber", int64(s), int64(config.NoSlot))
}

// file sets a key to a path, relative to the folder.
func (w *writer) file(key, path string) {
	if path == "" {
		return
	}
	rel, err := filepath.Rel(w.folder, path)
	if err != nil || !filepath.IsLocal(rel) {
		if w.err == nil {
			w.err = fmt.Errorf("%s (%s) %w", path, key, errOutside)
		}
		return
	}
	w.set(key, rel)
}

func (w *writer) core() {
	m := w.m
	w.set("displayName", m.Name)
	w.text("annotation", m.Annotation)
	if m.GuestOS == "" {
		w.set("guestOS", defaultGuestOS)
	}
	w.text("guestOS", m.GuestOS)
	if !m.UUID.IsZero() {
		w.set("uuid.bios", vmwareUUID(m.UUID))
	}
	w.set("memsize", strconv.FormatInt(m.Memory>>20, 10))
	w.set("numvcpus", strconv.Itoa(m.CPU.Count))
	w.number("cpuid.coresPerSocket", int64(m.CPU.CoresPerSocket), 1)
	w.bool("vhv.enable", m.CPU.Nested, false)
	w.bool("hypervisor.cpuid.v0", !m.CPU.HideHypervisor, true)
	w.number("sched.cpu.shares", int64(m.CPU.Shares), 0)
	w.number("sched.cpu.max", int64(m.CPU.LimitMHz), 0)
	for _, name := range sortedKeys(m.Tools.GuestInfo) {
		w.set("guestinfo."+name, m.Tools.GuestInfo[name])
	}
}

// vmwareUUID is VMware's spelling: pairs of digits, a dash in the middle.
func vmwareUUID(u config.UUID) string {
	return fmt.Sprintf("% x-% x", u[:8], u[8:])
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (w *writer) boot() {
	fw := w.m.Firmware
	if fw.Kind == config.FirmwareEFI {
		w.set("firmware", "efi")
	}
	w.bool("uefi.secureBoot.enabled", fw.SecureBoot, false)
	w.file("nvram", fw.NVRAM)
	w.text("bios.bootOrder", strings.Join(fw.BootOrder, ","))
	w.number("bios.bootDelay", fw.BootDelay.Milliseconds(), 0)
	w.bool("bios.forceSetupOnce", fw.SetupOnce, false)
	w.bool("vtpm.present", w.m.TPM.Present, false)
	w.bool("hpet0.present", w.m.Clock.HPET, true)
	w.number("rtc.diffFromUTC", int64(w.m.Clock.Offset.Seconds()), 0)
	if !w.m.Clock.Start.IsZero() {
		w.set("rtc.startTime", strconv.FormatInt(w.m.Clock.Start.Unix(), 10))
	}
	w.file("vmm.kernel", w.m.Boot.Kernel)
	w.file("vmm.initrd", w.m.Boot.Initrd)
	w.text("vmm.cmdline", w.m.Boot.Cmdline)
	if w.m.Boot.Kernel != "" && w.m.Board == config.BoardPC {
		w.set("vmm.board", string(w.m.Board))
	}
}

func (w *writer) bridges() {
	for _, b := range w.m.Bridges {
		name := fmt.Sprintf("pciBridge%d", b.Index)
		w.on(name + ".present")
		if b.RootPort {
			w.set(name+".virtualDev", "pcieRootPort")
		}
		w.number(name+".functions", int64(b.Functions), 1)
		w.slot(name, b.Slot)
	}
}

// StandardBridges are the bridges that VMware gives every new machine: without root ports it has no place for e1000e,
// vmxnet3, pvscsi, NVMe and xHCI.
func StandardBridges() []config.PCIBridge {
	bridges := []config.PCIBridge{{Index: 0, Slot: 17, Functions: 1}}
	for i := 4; i <= 7; i++ {
		bridges = append(bridges, config.PCIBridge{Index: i, Slot: config.PCISlot(17 + i), RootPort: true, Functions: 8})
	}
	return bridges
}

func (w *writer) storage() {
	for _, c := range w.m.Controllers {
		name := c.Bus.String()
		if c.Bus.Kind == config.BusFloppy {
			continue
		}
		if c.Bus.Kind != config.BusIDE {
			w.on(name + ".present")
			w.slot(name, c.Slot)
		}
		switch {
		case c.Model == config.ControllerVirtioBlk && w.m.Board != config.BoardFast:
			w.set(vmmPrefix+name+".virtualDev", "virtio")
			fallthrough
		case c.Model == config.ControllerVirtioBlk:
			if c.Bus.Kind == config.BusSCSI {
				w.set(name+".virtualDev", string(config.ControllerLSILogic))
			}
		case c.Bus.Kind == config.BusSCSI:
			w.set(name+".virtualDev", string(c.Model))
		}
		if c.SASWWID != 0 {
			w.set(name+".sasWWID", fmt.Sprintf("% x", binary.BigEndian.AppendUint64(nil, c.SASWWID)))
		}
	}
	for i := range w.m.Disks {
		w.disk(&w.m.Disks[i])
	}
}

func (w *writer) disk(d *config.Disk) {
	name := d.Address.String()
	own := name
	if d.Media == config.MediaDisk && d.Format != config.FormatVMDK {
		own = vmmPrefix + name // VMware attaches no other format
	}
	w.on(own + ".present")
	if d.HostDevice {
		w.err = fmt.Errorf("disk %s is a device of the host, which a new machine file cannot name", name)
		return
	}
	w.file(own+".fileName", d.Path)
	switch d.Media {
	case config.MediaCDROM:
		w.set(own+".deviceType", "cdrom-image")
	case config.MediaFloppy:
		w.set(own+".fileType", "file")
	}
	if d.Mode != config.ModePersistent {
		w.set(own+".mode", string(d.Mode))
	}
	w.bool(own+".writeThrough", d.WriteThrough, false)
	w.bool(own+".readonly", d.ReadOnly && d.Media != config.MediaCDROM, false)
	w.bool(own+".startConnected", d.Connected, true)
	w.text(vmmPrefix+name+".serial", d.Serial)
	w.caps(name, d)
}

func (w *writer) network() {
	var publish, allow []string
	access, lan := false, false
	for _, n := range w.m.NICs {
		name := fmt.Sprintf("ethernet%d", n.Index)
		w.on(name + ".present")
		switch {
		case n.Model != config.NICVirtio:
			w.set(name+".virtualDev", string(n.Model))
		case w.m.Board != config.BoardFast:
			w.set(vmmPrefix+name+".virtualDev", string(config.NICVirtio))
			fallthrough
		default:
			w.set(name+".virtualDev", string(config.NICE1000))
		}
		w.slot(name, n.Slot)
		w.bool(name+".startConnected", n.Connected, true)
		w.nicAddress(name, n)
		switch n.Connection {
		case config.ConnUser:
			w.set(name+".connectionType", "nat")
		case config.ConnTap:
			w.set(vmmPrefix+name+".tap", n.Interface)
		case config.ConnBridged:
			w.set(name+".connectionType", "bridged")
			w.set(vmmPrefix+name+".bridge", n.Interface)
		default:
			w.set(name+".connectionType", string(n.Connection))
		}
		if n.Boot.Folder != "" {
			w.file(vmmPrefix+name+".tftp", n.Boot.Folder)
		}
		w.text(vmmPrefix+name+".bootFile", n.Boot.File)
		w.text(vmmPrefix+name+".bootScript", n.Boot.Script)
		for _, f := range n.Publish {
			publish = append(publish, f.String())
		}
		access, lan = access || n.HostAccess, lan || n.LAN
		if n.Connection == config.ConnUser && allow == nil {
			for _, r := range n.Allow {
				allow = append(allow, r.String())
			}
		}
	}
	w.text("vmm.net.allow", strings.Join(allow, ","))
	w.bool("vmm.net.lan", lan, false)
	w.text("vmm.publish", strings.Join(publish, ","))
	w.bool("vmm.hostAccess", access, false)
}

func (w *writer) nicAddress(name string, n config.NIC) {
	key := name + ".generatedAddress"
	if n.MACSource == config.MACStatic {
		key = name + ".address"
	}
	w.text(name+".addressType", string(n.MACSource))
	if n.MAC != (config.MAC{}) {
		w.set(key, n.MAC.String())
	}
}

func (w *writer) ports() {
	for _, s := range w.m.Serials {
		name := fmt.Sprintf("serial%d", s.Index)
		if s.Kind == config.SerialConsole {
			w.set("vmm.console", name)
			continue
		}
		w.on(name + ".present")
		w.bool(name+".startConnected", s.Connected, true)
		w.bool(name+".yieldOnMsrRead", s.YieldPoll, false)
		endPoint := "client"
		if s.Server {
			endPoint = "server"
		}
		switch s.Kind {
		case config.SerialFile:
			w.set(name+".fileType", "file")
			w.file(name+".fileName", s.Path)
		case config.SerialPipe:
			w.set(name+".fileType", "pipe")
			w.file(name+".fileName", s.Path)
			w.set(name+".pipe.endPoint", endPoint)
		case config.SerialNetwork:
			w.set(name+".fileType", "network")
			w.set(name+".fileName", "tcp://"+s.Address)
			w.set(name+".network.endPoint", endPoint)
		case config.SerialDevice:
			w.set(name+".fileType", "device")
			w.set(name+".fileName", s.Path)
		}
	}
	if w.m.Board == config.BoardFast && !slices.ContainsFunc(w.m.Serials, func(s config.Serial) bool { return s.Kind == config.SerialConsole }) {
		w.set("vmm.console", "none")
	}
}

func (w *writer) peripherals() {
	m := w.m
	def := config.New("").Display
	w.text("vmm.display", string(m.Display.Adapter))
	w.number("svga.vramSize", m.Display.VRAM, def.VRAM)
	w.number("svga.numDisplays", int64(m.Display.Heads), 1)
	w.number("svga.maxWidth", int64(m.Display.Width), 0)
	w.number("svga.maxHeight", int64(m.Display.Height), 0)
	w.bool("gui.fullScreenAtPowerOn", m.Display.FullScreen, false)
	if v := m.Display.VNC; v.Enabled {
		w.on("RemoteDisplay.vnc.enabled")
		w.set("RemoteDisplay.vnc.ip", v.Address)
		w.number("RemoteDisplay.vnc.port", int64(v.Port), 5900)
		w.text("RemoteDisplay.vnc.password", v.Password)
		w.text("RemoteDisplay.vnc.keymap", v.KeyMap)
	}
	w.bool("usb.present", m.USB.UHCI, false)
	w.slot("usb", m.USB.UHCISlot)
	w.bool("ehci.present", m.USB.EHCI, false)
	w.slot("ehci", m.USB.EHCISlot)
	w.bool("usb_xhci.present", m.USB.XHCI, false)
	w.slot("usb_xhci", m.USB.XHCISlot)
	if m.Sound.Model != config.SoundNone {
		w.on("sound.present")
		w.set("sound.virtualDev", string(m.Sound.Model))
		w.slot("sound", m.Sound.Slot)
	}
	if !slices.ContainsFunc(m.Disks, func(d config.Disk) bool { return d.Address.String() == "floppy0" }) {
		w.set("floppy0.present", "FALSE") // VMware builds one otherwise
	}
	w.bool("tools.syncTime", m.Tools.SyncTime, false)
	w.bool("isolation.tools.copy.disable", m.Tools.NoCopy, false)
	w.bool("isolation.tools.paste.disable", m.Tools.NoPaste, false)
	w.bool("monitor_control.restrict_backdoor", !m.Tools.Backdoor, false)
	w.set("powerType.powerOff", string(m.Power.Off))
	w.set("powerType.reset", string(m.Power.Reset))
	w.set("powerType.suspend", string(m.Power.Suspend))
}

func (w *writer) wishes() {
	r := w.m.Run
	w.text("vmm.hotkey", r.Hotkey)
	w.bool("vmm.restart", r.Restart, false)
	if r.Priority != config.PriorityNormal {
		w.set("vmm.priority", string(r.Priority))
	}
	if r.Overlay != config.OverlayNone {
		w.set("vmm.overlay", string(r.Overlay))
	}
	w.text("vmm.input", string(w.m.Input.Model))
	w.bool("vmm.memory.balloon", r.Balloon, true)
	w.bool("vmm.memory.ksm", r.KSM, false)
	w.bool("vmm.agent", r.Agent, false)
	w.text("vmm.clipboard", string(r.Clipboard))
	w.bool("vmm.instant", r.Instant, false)
	w.text("vmm.kiosk.url", r.Kiosk.URL)
	w.text("vmm.kiosk.allow", strings.Join(r.Kiosk.Allow, ","))
	w.text("vmm.kiosk.keyboard", r.Kiosk.Keyboard)
	w.text("vmm.kiosk.language", r.Kiosk.Language)
	w.text("vmm.kiosk.proxy", r.Kiosk.Proxy)
	w.file("vmm.kiosk.ca", r.Kiosk.CA)
	w.number("vmm.vsock.cid", int64(w.m.Vsock.CID), 0)
}
