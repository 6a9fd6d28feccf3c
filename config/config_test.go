package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestAddress(t *testing.T) {
	for in, want := range map[string]Address{
		"scsi0:1":  {Bus{BusSCSI, 0}, 1},
		"SCSI3:15": {Bus{BusSCSI, 3}, 15},
		"sata1:29": {Bus{BusSATA, 1}, 29},
		"nvme2:14": {Bus{BusNVMe, 2}, 14},
		"ide1:1":   {Bus{BusIDE, 1}, 1},
		"floppy1":  {Bus{BusFloppy, 1}, 0},
	} {
		got, err := ParseAddress(in)
		if err != nil || got != want || got.String() != strings.ToLower(in) {
			t.Errorf("ParseAddress(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "scsi", "scsi0", "scsi0:", "scsi0:7", "scsi0:16", "scsi4:0", "scsi00:0", "scsi0:01", "scsi0:+1", "scsi0:-1", "sata0:30", "nvme0:15",
		"ide2:0", "ide0:2", "floppy2", "floppy0:0", "usb0:1", "scsi0:1:2", "scsi0:99999999999999999999",
	} {
		if got, err := ParseAddress(in); err == nil {
			t.Errorf("ParseAddress(%q) = %v, want an error", in, got)
		}
	}
}

func TestAddressOrder(t *testing.T) {
	var in []Address
	want := []string{"ide0:0", "ide1:0", "sata0:1", "scsi0:0", "scsi0:10", "scsi1:0", "nvme0:0", "floppy0"}
	for _, i := range []int{4, 7, 0, 2, 6, 1, 5, 3} {
		a, err := ParseAddress(want[i])
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, a)
	}
	slices.SortFunc(in, Address.Compare)
	for i, a := range in {
		if a.String() != want[i] {
			t.Fatalf("position %d holds %s, want %s", i, a, want[i])
		}
	}
}

func TestFormatOf(t *testing.T) {
	for path, want := range map[string]Format{
		"a.vmdk": FormatVMDK, "/x/A.VMDK": FormatVMDK, "a.vhd": FormatVHD, "a.vhdx": FormatVHDX, "a.iso": FormatRaw, "a.b.qcow2": FormatQCOW2,
		"a.vmx": "", "a": "", "": "", "vmdk": "", "a.vmdk/b": "",
	} {
		got, err := FormatOf(path)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("FormatOf(%q) = %q, %v; want %q", path, got, err, want)
		}
	}
}

func TestParseForward(t *testing.T) {
	for in, want := range map[string]string{
		"8080:80":           "127.0.0.1:8080:80/tcp",
		" 53:5353/udp":      "127.0.0.1:53:5353/udp",
		"0.0.0.0:22:22/tcp": "0.0.0.0:22:22/tcp",
		"[::1]:1:65535":     "[::1]:1:65535/tcp",
	} {
		f, err := ParseForward(in)
		if err != nil || f.String() != want {
			t.Errorf("ParseForward(%q) = %v, %v; want %s", in, f, err, want)
			continue
		}
		if again, err := ParseForward(f.String()); err != nil || again != f {
			t.Errorf("%s does not read back: %v, %v", f, again, err)
		}
	}
	for _, in := range []string{"", "80", "a:b", "0:80", "80:0", "65536:1", "80:80/icmp", "host:80:80", "1.2.3:80:80", "::1:80:80", "80:80:", "[fe80::1%eth0]:1:1"} {
		if f, err := ParseForward(in); err == nil {
			t.Errorf("ParseForward(%q) = %v, want an error", in, f)
		}
	}
}

func TestMACAndUUID(t *testing.T) {
	if m, err := ParseMAC("00:0C:29:3b:5f:10"); err != nil || m.String() != "00:0c:29:3b:5f:10" {
		t.Errorf("ParseMAC = %v, %v", m, err)
	}
	for _, in := range []string{"", "00:0c:29:3b:5f", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:fe:80:00:00"} {
		if m, err := ParseMAC(in); err == nil {
			t.Errorf("ParseMAC(%q) = %v, want an error", in, m)
		}
	}
	const want = "564d9a1c-5e20-77b1-0d5c-1f22e83b5f10"
	for _, in := range []string{want, "56 4d 9a 1c 5e 20 77 b1-0d 5c 1f 22 e8 3b 5f 10", strings.ToUpper(want)} {
		if u, err := ParseUUID(in); err != nil || u.String() != want {
			t.Errorf("ParseUUID(%q) = %v, %v", in, u, err)
		}
	}
	for _, in := range []string{"", want[1:], want + "0", "g" + want[1:]} {
		if u, err := ParseUUID(in); err == nil {
			t.Errorf("ParseUUID(%q) = %v, want an error", in, u)
		}
	}
}

func TestPCISlot(t *testing.T) {
	for _, c := range []struct {
		slot                     PCISlot
		device, bridge, function int
		behind                   bool
	}{
		{17, 17, -1, 0, false}, {32, 0, 0, 0, true}, {33, 1, 0, 0, true}, {160, 0, 4, 0, true}, {192, 0, 5, 0, true}, {1184, 0, 4, 1, true},
	} {
		bridge, function, behind := c.slot.Bridge()
		if c.slot.Device() != c.device || bridge != c.bridge || function != c.function || behind != c.behind {
			t.Errorf("slot %d is device %d, bridge %d.%d, %v; want %+v", c.slot, c.slot.Device(), bridge, function, behind, c)
		}
	}
	if _, _, behind := NoSlot.Bridge(); behind {
		t.Error("NoSlot lies behind a bridge")
	}
}

func TestGuestDefaults(t *testing.T) {
	for guest, want := range map[string]NICModel{
		"windows11-64": NICE1000E, "windows9": NICE1000E, "windows2019srv-64": NICE1000E, "windows7-64": NICE1000, "winvista": NICE1000,
		"ubuntu-64": NICE1000, "winxppro": NICVlance, "debian5": NICVlance, "": NICVlance,
	} {
		if got := DefaultNIC(guest); got != want {
			t.Errorf("DefaultNIC(%q) = %s, want %s", guest, got, want)
		}
	}
	for guest, want := range map[string]ControllerModel{
		"winxppro": ControllerBusLogic, "winXPPro-64": ControllerLSILogic, "win2000Serv": ControllerBusLogic, "winnetstandard": ControllerLSILogic,
		"windows7-64": ControllerLSISAS, "windows9-64": ControllerLSISAS, "ubuntu-64": ControllerLSILogic,
	} {
		if got := DefaultSCSI(guest); got != want {
			t.Errorf("DefaultSCSI(%q) = %s, want %s", guest, got, want)
		}
	}
}

// sound is a machine with one of everything, in order.
func sound() *Machine {
	m := New("test")
	m.Folder = "/vm"
	m.Memory = 512 << 20
	m.Controllers = []Controller{{Bus: Bus{BusSCSI, 0}, Model: ControllerLSILogic, Slot: 16}, {Bus: Bus{BusIDE, 1}, Model: ControllerPIIX, Slot: NoSlot}}
	m.Disks = []Disk{
		{Address: Address{Bus{BusSCSI, 0}, 0}, Media: MediaDisk, Path: "/vm/a.vmdk", Format: FormatVMDK, Mode: ModePersistent, Connected: true},
		{Address: Address{Bus{BusIDE, 1}, 0}, Media: MediaCDROM, ReadOnly: true, Mode: ModePersistent},
	}
	m.NICs = []NIC{{Index: 0, Model: NICE1000, Slot: NoSlot, Connection: ConnUser, MAC: MAC{0, 12, 41, 1, 2, 3}}}
	m.Serials = []Serial{{Index: 0, Kind: SerialConsole}}
	m.Bridges = []PCIBridge{{Index: 0, Slot: 17, Functions: 1}}
	return m
}

func TestValidate(t *testing.T) {
	if err := sound().Validate(); err != nil {
		t.Fatalf("a sound machine: %v", err)
	}
	fast := sound()
	fast.SetKernel("/vm/vmlinuz", "/vm/initrd", "quiet")
	if err := fast.Validate(); err != nil {
		t.Fatalf("a sound machine with a kernel: %v", err)
	}
	for want, spoil := range map[string]func(*Machine){
		"memory is 2 MiB":                      func(m *Machine) { m.Memory = 2 << 20 },
		"multiple of 4 MiB":                    func(m *Machine) { m.Memory++ },
		"0 virtual CPUs":                       func(m *Machine) { m.CPU.Count = 0 },
		"sockets of 2 cores":                   func(m *Machine) { m.CPU.Count, m.CPU.CoresPerSocket = 3, 2 },
		"must be one line":                     func(m *Machine) { m.Name = "a\nb" },
		"unknown board":                        func(m *Machine) { m.Board = "i440fx" },
		"unknown firmware":                     func(m *Machine) { m.Firmware.Kind = "coreboot" },
		"without firmware needs a kernel":      func(m *Machine) { m.Firmware.Kind = FirmwareDirect },
		"boots it directly":                    func(m *Machine) { m.Boot.Kernel = "/k" },
		"fast board has no firmware":           func(m *Machine) { m.Board = BoardFast },
		"needs a kernel":                       func(m *Machine) { m.Boot.Cmdline = "quiet" },
		"Secure Boot needs EFI":                func(m *Machine) { m.Firmware.SecureBoot = true },
		"command line has 2048 bytes":          func(m *Machine) { m.SetKernel("/k", "", strings.Repeat("x", MaxCmdline+1)) },
		"command line must be one line":        func(m *Machine) { m.SetKernel("/k", "", "a\nb") },
		`kernel path "k" must be absolute`:     func(m *Machine) { m.SetKernel("k", "", "") },
		"TPM needs a folder":                   func(m *Machine) { m.TPM.Present = true },
		"scsi0 is described twice":             func(m *Machine) { m.Controllers = append(m.Controllers, m.Controllers[0]) },
		`scsi0 cannot be a "ahci"`:             func(m *Machine) { m.Controllers[0].Model = ControllerAHCI },
		"fast board has virtio disks only":     func(m *Machine) { m.SetKernel("/k", "", ""); m.Controllers[0].Model = ControllerPVSCSI },
		"fast board has virtio adapters only":  func(m *Machine) { m.SetKernel("/k", "", ""); m.NICs[0].Model = NICE1000 },
		"impossible PCI slot 8192":             func(m *Machine) { m.Controllers[0].Slot = 8192 },
		"two disks at scsi0:0":                 func(m *Machine) { m.Disks = append(m.Disks, m.Disks[0]) },
		"has no controller scsi0":              func(m *Machine) { m.Controllers = m.Controllers[1:] },
		"scsi0:0 and scsi0:1 both use /vm/a.v": func(m *Machine) { m.Disks = append(m.Disks, m.Disks[0]); m.Disks[2].Address.Unit = 1 },
		"no such disk address: scsi0:7":        func(m *Machine) { m.Disks[0].Address.Unit = 7 },
		"disk scsi0:0 names no file":           func(m *Machine) { m.Disks[0].Path = "" },
		"CD-ROM ide1:0 must be read-only":      func(m *Machine) { m.Disks[1].ReadOnly = false },
		`unknown format "iso"`:                 func(m *Machine) { m.Disks[0].Format = "iso" },
		`unknown mode "undoable"`:              func(m *Machine) { m.Disks[0].Mode = "undoable" },
		"a floppy cannot sit at scsi0:0":       func(m *Machine) { m.Disks[0].Media = MediaFloppy },
		"20 printable ASCII":                   func(m *Machine) { m.Disks[0].Serial = strings.Repeat("1", 21) },
		"ethernet10 does not exist":            func(m *Machine) { m.NICs[0].Index = 10 },
		"ethernet0 has unknown model":          func(m *Machine) { m.NICs[0].Model = "ne2000" },
		"names no interface":                   func(m *Machine) { m.NICs[0].Connection = ConnTap },
		"not the name of a network interface":  func(m *Machine) { m.NICs[0].Connection, m.NICs[0].Interface = ConnTap, "../tap0" },
		"only a user-mode network can":         func(m *Machine) { m.NICs[0].Connection = ConnHostOnly; m.NICs[0].Publish = make([]Forward, 1) },
		"something to boot by TFTP":            func(m *Machine) { m.NICs[0].Boot.File, m.NICs[0].Connection = "x", ConnNone },
		"at most 127 printable":                func(m *Machine) { m.NICs[0].Boot.Script = strings.Repeat("x", MaxBootFile+1) },
		"publishes 1025 ports":                 func(m *Machine) { m.NICs[0].Publish = make([]Forward, MaxPublish+1) },
		"multicast address":                    func(m *Machine) { m.NICs[0].MAC[0] = 1 },
		"have the same address":                func(m *Machine) { m.NICs = append(m.NICs, m.NICs[0]); m.NICs[1].Index = 1 },
		"serial4 does not exist":               func(m *Machine) { m.Serials[0].Index = 4 },
		"two serial ports serial0":             func(m *Machine) { m.Serials = append(m.Serials, m.Serials[0]) },
		"2 serial ports want the terminal":     func(m *Machine) { m.Serials = append(m.Serials, Serial{Index: 1, Kind: SerialConsole}) },
		"goes to a file but names none":        func(m *Machine) { m.Serials[0].Kind = SerialFile },
		"serial0 would write into /vm/a.vmdk":  func(m *Machine) { m.Serials[0] = Serial{Kind: SerialFile, Path: "/vm/a.vmdk"} },
		"pciBridge0 has 9 functions":           func(m *Machine) { m.Bridges[0].Functions = 9 },
		"context id 2 is reserved":             func(m *Machine) { m.Vsock.CID = 2 },
		"VNC on 0.0.0.0 would be open":         func(m *Machine) { m.Display.VNC = VNC{Enabled: true, Address: "0.0.0.0", Port: 5900} },
		`VNC address "localhost"`:              func(m *Machine) { m.Display.VNC = VNC{Enabled: true, Address: "localhost", Port: 5900} },
		"unknown priority":                     func(m *Machine) { m.Run.Priority = "urgent" },
		"unknown overlay":                      func(m *Machine) { m.Run.Overlay = "discard" },
		"must be soft or hard":                 func(m *Machine) { m.Power.Off = "" },
	} {
		m := sound()
		spoil(m)
		err := m.Validate()
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want %q", err, want)
		}
	}
}

func TestDiscardsWrites(t *testing.T) {
	for _, c := range []struct {
		mode     DiskMode
		overlay  Overlay
		readOnly bool
		want     bool
	}{
		{ModePersistent, OverlayNone, false, false},
		{ModePersistent, OverlayKeep, false, false},
		{ModePersistent, OverlayDisposable, false, true},
		{ModeIndependentPersistent, OverlayDisposable, false, true},
		{ModeIndependentNonpersistent, OverlayNone, false, true},
		{ModeIndependentNonpersistent, OverlayNone, true, false},
	} {
		m := New("x")
		m.Run.Overlay = c.overlay
		if got := m.DiscardsWrites(&Disk{Mode: c.mode, ReadOnly: c.readOnly}); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}
