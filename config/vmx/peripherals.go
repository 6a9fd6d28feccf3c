package vmx

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sharevm/vmm/config"
)

func (l *loader) display() {
	d := &l.m.Display
	switch a := config.DisplayAdapter(l.word("vmm.display")); a {
	case config.DisplayAuto, config.DisplayVGA, config.DisplayVirtio, config.DisplayNone:
		d.Adapter = a
	default:
		l.refuse("vmm.display", "", "%q must be vga, virtio or none", clip(string(a)))
	}
	if d.Adapter == config.DisplayVGA && l.m.Board == config.BoardFast {
		l.refuse("vmm.display", "set it to virtio, or vmm.board to pc", "the fast board has no place for a VGA")
		d.Adapter = config.DisplayAuto
	}
	// VMware takes anything from nothing up; below 4 MiB no usable mode fits.
	vram := l.int("svga.vramSize", d.VRAM, 0, math.MaxInt64)
	d.VRAM = min(max(vram, 4<<20), 1<<30)
	d.Heads = int(l.int("svga.numDisplays", 1, 1, config.MaxHeads))
	d.Width = int(l.int("svga.maxWidth", 0, 0, 16384))
	d.Height = int(l.int("svga.maxHeight", 0, 0, 16384))
	d.FullScreen = l.bool("gui.fullScreenAtPowerOn", false)
	v := &d.VNC
	v.Enabled = l.bool("RemoteDisplay.vnc.enabled", false)
	v.Port = int(l.int("RemoteDisplay.vnc.port", 5900, 1, 65535))
	v.Password, _ = l.str("RemoteDisplay.vnc.password")
	v.KeyMap, _ = l.str("RemoteDisplay.vnc.keymap")
	v.Address = "127.0.0.1"
	if s, _ := l.str("RemoteDisplay.vnc.ip"); s != "" {
		v.Address = s
	}
	addr, err := netip.ParseAddr(v.Address)
	if v.Enabled && err != nil {
		l.refuse("RemoteDisplay.vnc.ip", "", "%q is not an IP address", clip(v.Address))
	} else if v.Enabled && !addr.IsLoopback() && v.Password == "" {
		l.refuse("RemoteDisplay.vnc.ip", "set RemoteDisplay.vnc.password", "VNC on %s would be open to the network without a password", v.Address)
	}
	if !v.Enabled {
		*v = config.VNC{}
	}
}

func (l *loader) peripherals() {
	u := &l.m.USB
	u.UHCI, u.UHCISlot = l.bool("usb.present", false), l.slot("usb")
	u.EHCI, u.EHCISlot = l.bool("ehci.present", false), l.slot("ehci")
	u.XHCI, u.XHCISlot = l.bool("usb_xhci.present", false), l.slot("usb_xhci")
	l.m.Input.Tablet = u.UHCI || u.XHCI
	switch in := config.InputModel(l.word("vmm.input")); in {
	case config.InputAuto, config.InputVirtio, config.InputNone:
		l.m.Input.Model = in
	default:
		l.refuse("vmm.input", "", "%q must be virtio or none", clip(string(in)))
	}
	s := &l.m.Sound
	s.Slot = l.slot("sound")
	card := config.SoundModel(l.word("sound.virtualDev"))
	if card == config.SoundNone {
		card = config.SoundES1371
	}
	if l.bool("sound.present", false) {
		if slices.Contains([]config.SoundModel{config.SoundES1371, config.SoundSB16, config.SoundHDA}, card) {
			s.Model = card
		} else {
			l.warn("sound.virtualDev", "", "%q is not a sound card that vmm knows (es1371, sb16, hdaudio): there is no sound", clip(string(card)))
		}
	}
	t := &l.m.Tools
	t.SyncTime = l.bool("tools.syncTime", false)
	t.NoCopy = l.bool("isolation.tools.copy.disable", false)
	t.NoPaste = l.bool("isolation.tools.paste.disable", false)
	t.Backdoor = !l.bool("monitor_control.restrict_backdoor", false)
}

func (l *loader) serialPorts() {
	for _, n := range l.numbered("serial", config.MaxSerials) {
		name := fmt.Sprintf("serial%d", n)
		s := config.Serial{Index: n, Connected: l.bool(name+".startConnected", true)}
		s.YieldPoll = l.bool(name+".yieldOnMsrRead", false)
		l.wire(name, &s)
		l.m.Serials = append(l.m.Serials, s)
	}
	l.console()
}

// wire finds what stands behind a port. A port whose other end is not to be had stays, unconnected.
func (l *loader) wire(name string, s *config.Serial) {
	s.Kind = config.SerialNull
	key := name + ".fileName"
	file, _ := l.str(key)
	switch kind := l.word(name + ".fileType"); kind {
	case "", "device":
		if file == "" || strings.EqualFold(file, "auto detect") {
			return
		}
		if !l.opt.AllowHostDevices || filepath.Dir(filepath.Clean(file)) != "/dev" {
			l.warn(key, adviceDevices, "the host's serial port %s is not used", clip(file))
			return
		}
		s.Kind, s.Path = config.SerialDevice, filepath.Clean(file)
	case "file":
		if at, ok := l.output(key, file); ok {
			s.Kind, s.Path = config.SerialFile, at
		}
	case "pipe":
		s.Server = l.word(name+".pipe.endPoint") != "client"
		if pipe, ok := strings.CutPrefix(file, `\\.\pipe\`); ok {
			file = pipe + ".sock"
		}
		if at, ok := l.output(key, file); ok {
			s.Kind, s.Path = config.SerialPipe, at
		}
	case "network":
		s.Server = l.word(name+".network.endPoint") != "client"
		l.networkSerial(key, file, s)
	case "console":
		s.Kind = config.SerialConsole
	case "null", "none", "thinprint":
	default:
		l.refuse(name+".fileType", "", "%q must be device, file, pipe or network", clip(kind))
	}
}

// machineFiles are extensions that no guest output may go to: what lies there steers the machine.
var machineFiles = []string{".vmx", ".vmxf", ".vmsd", ".vmsn", ".vmss", ".vmem", ".nvram", ".vmtx", ".ovf", ".efivars"}

// output finds a file or socket that the machine writes to. It need not exist.
func (l *loader) output(key, file string) (string, bool) {
	if file == "" {
		l.refuse(key, "", "the serial port names no file")
		return "", false
	}
	at, err := l.path(file)
	if err != nil && !errors.Is(err, errMissing) {
		l.refuse(key, advice(err), "%v", err)
		return "", false
	}
	ext := strings.ToLower(filepath.Ext(at))
	if _, err := config.FormatOf(at); err == nil || slices.Contains(machineFiles, ext) {
		l.refuse(key, "give the file another name", "the guest's output would be written into a file of the machine (%s)", filepath.Base(at))
		return "", false
	}
	return at, true
}

// networkSerial reads VMware's URIs: telnet://host:port and tcp://host:port, host may be empty.
func (l *loader) networkSerial(key, uri string, s *config.Serial) {
	scheme, address, ok := strings.Cut(uri, "://")
	if !ok || scheme != "tcp" && scheme != "telnet" {
		l.warn(key, "", "%q is not tcp://HOST:PORT: the port is not connected", clip(uri))
		return
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		l.warn(key, "", "%q is not tcp://HOST:PORT: the port is not connected", clip(uri))
		return
	}
	if !l.opt.AllowHostAccess {
		l.warn(key, adviceNetwork, "the serial port is not connected to the network")
		return
	}
	s.Kind, s.Address = config.SerialNetwork, net.JoinHostPort(host, port)
}

// console puts one port on the terminal: the one that vmm.console names, or, on the fast board, the first if the file
// wires it to nothing.
func (l *loader) console() {
	want := l.word("vmm.console")
	if want == "none" || want == "" && l.m.Board != config.BoardFast {
		return
	}
	index := 0
	if want != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(want, "serial"))
		if err != nil || n < 0 || n >= config.MaxSerials || want != fmt.Sprintf("serial%d", n) {
			l.refuse("vmm.console", "", "%q must be none or serial0 to serial%d", clip(want), config.MaxSerials-1)
			return
		}
		index = n
	}
	at := slices.IndexFunc(l.m.Serials, func(s config.Serial) bool { return s.Index == index })
	switch {
	case at < 0:
		l.m.Serials = append(l.m.Serials, config.Serial{Index: index, Kind: config.SerialConsole, Connected: true})
		slices.SortFunc(l.m.Serials, func(a, b config.Serial) int { return a.Index - b.Index })
	case want != "" || l.m.Serials[at].Kind == config.SerialNull:
		l.m.Serials[at] = config.Serial{Index: index, Kind: config.SerialConsole, Connected: true}
	}
}
