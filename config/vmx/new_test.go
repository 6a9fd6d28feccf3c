package vmx

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sharevm/vmm/config"
)

// reload writes m into dir as m.vmx and loads it again.
func reload(t *testing.T, m *config.Machine, dir string, opt Options) (*config.Machine, *Report) {
	t.Helper()
	f, err := New(m, dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "m.vmx")
	if err := f.Save(path); err != nil {
		t.Fatal(err)
	}
	got, _, _, err := Load(path, opt)
	if err != nil {
		t.Fatalf("%v\n%s", err, f)
	}
	report, err := Lint(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	return got, report
}

func demo(dir string) *config.Machine {
	m := config.New("demo |\"#\" café")
	m.Annotation = "two\nlines"
	m.GuestOS, m.Folder, m.Memory = "debian12-64", dir, 512<<20
	m.UUID = config.UUID{1, 2, 3, 15: 9}
	m.CPU = config.CPU{Count: 4, CoresPerSocket: 2, Shares: 500, LimitMHz: 2000}
	m.Controllers = []config.Controller{{Bus: config.Bus{Kind: config.BusSCSI}, Model: config.ControllerLSILogic, Slot: 16, SASWWID: 0x5005056581f26e00}}
	scsi := config.Bus{Kind: config.BusSCSI}
	m.Disks = []config.Disk{
		{Address: config.Address{Bus: scsi}, Media: config.MediaDisk, Path: dir + "/disk.vmdk", Format: config.FormatVMDK, Mode: config.ModePersistent, Connected: true},
		{Address: config.Address{Bus: scsi, Unit: 1}, Media: config.MediaDisk, Path: dir + "/data.vhd", Format: config.FormatVHD, Mode: config.ModeIndependentPersistent, Connected: true, WriteThrough: true, Serial: "D 1", OpsCap: 80, BytesCap: 10 << 20},
		{Address: config.Address{Bus: scsi, Unit: 2}, Media: config.MediaCDROM, Mode: config.ModePersistent, ReadOnly: true, Connected: true},
	}
	ssh, _ := config.ParseForward("2222:22")
	site, _ := config.ParseNetRule("*.example.org:443")
	m.NICs = []config.NIC{{
		Model: config.NICE1000, MAC: config.MAC{0, 0x0c, 0x29, 1, 2, 3}, MACSource: config.MACStatic, Slot: 33, Connection: config.ConnUser, Connected: true,
		Publish: []config.Forward{ssh}, HostAccess: true, Allow: []config.NetRule{site}, LAN: true,
		Boot: config.NetBoot{Folder: dir + "/boot", File: "initrd.img", Script: "http://10.0.2.2/boot.ipxe"},
	}, {Index: 1, Model: config.NICE1000, MACSource: config.MACGenerated, Slot: config.NoSlot, Connection: config.ConnHostOnly, HostAccess: true}}
	m.Tools.GuestInfo = map[string]string{"a": "1", "b.c": "2"}
	m.Run = config.Run{Hotkey: "F4", Priority: config.PriorityHigh, Overlay: config.OverlayDisposable, Restart: true, Kiosk: config.Kiosk{URL: "http://x/#a", Allow: []string{"x"}}}
	m.Vsock.CID = 3
	m.Limits.DiskReadOps.PerSecond, m.Limits.NetOut.Burst, m.Limits.CPUQuota = 500, 1<<20, 1500
	return m
}

// kept says whether a key may be there of what is kept for VMware and not done: TestUnserved has these.
func kept(key string) bool {
	return strings.HasPrefix(key, "guestinfo.") || slices.Contains([]string{
		"vmm.hotkey", "vmm.priority", "vmm.vsock.cid", "powerType.powerOff", "tools.syncTime", "RemoteDisplay.vnc.keymap", "usb.present", "ehci.present", "usb_xhci.present",
		"serial0.fileType", "serial1.fileType",
	}, key)
}

func TestNewReadsBack(t *testing.T) {
	for name, build := range map[string]func(dir string) *config.Machine{
		"fast": func(dir string) *config.Machine {
			m := demo(dir)
			m.SetKernel(dir+"/vmlinuz", dir+"/boot/initrd.img", "root=/dev/vda \"quoted\" | # x")
			m.Serials = []config.Serial{{Kind: config.SerialConsole, Connected: true}}
			return m
		},
		"fast without console": func(dir string) *config.Machine {
			m := demo(dir)
			m.SetKernel(dir+"/vmlinuz", "", "")
			m.Serials = []config.Serial{{Index: 1, Kind: config.SerialFile, Path: dir + "/out.log", Connected: true}}
			return m
		},
		"kernel on the pc board": func(dir string) *config.Machine {
			m := demo(dir)
			m.Boot.Kernel, m.Firmware.Kind = dir+"/vmlinuz", config.FirmwareDirect
			return m
		},
		"pc": func(dir string) *config.Machine {
			m := demo(dir)
			m.Bridges = StandardBridges()
			m.Firmware = config.Firmware{Kind: config.FirmwareEFI, SecureBoot: true, Variables: dir + "/m.efivars", BootOrder: []string{"cdrom", "scsi0:0"}, BootDelay: time.Second, SetupOnce: true}
			m.Controllers[0].Model = config.ControllerVirtioBlk
			m.NICs[0].Model = config.NICVirtio
			m.Controllers = append(m.Controllers, config.Controller{Bus: config.Bus{Kind: config.BusNVMe}, Model: config.ControllerNVMe, Slot: 192})
			m.TPM = config.TPM{Present: true, State: dir + "/m.tpm"}
			m.Display = config.Display{Adapter: config.DisplayVirtio, VRAM: 64 << 20, Heads: 2, Width: 1920, Height: 1080, FullScreen: true, VNC: config.VNC{Enabled: true, Address: "0.0.0.0", Port: 5901, Password: "x", KeyMap: "de"}}
			m.USB = config.USB{UHCI: true, EHCI: true, XHCI: true, UHCISlot: 32, EHCISlot: 34, XHCISlot: 160}
			m.Input = config.Input{Tablet: true, Model: config.InputVirtio}
			m.Sound = config.Sound{Model: config.SoundHDA, Slot: 35}
			m.Clock = config.Clock{Offset: -time.Hour, Start: time.Unix(1e9, 0).UTC()}
			m.CPU.Nested, m.CPU.HideHypervisor = true, true
			m.Tools.Backdoor, m.Tools.SyncTime, m.Tools.NoCopy, m.Tools.NoPaste = false, true, true, true
			m.Serials = []config.Serial{
				{Index: 0, Kind: config.SerialPipe, Path: dir + "/s.sock", Server: true, Connected: true, YieldPoll: true},
				{Index: 1, Kind: config.SerialNetwork, Address: "127.0.0.1:2000", Connected: true},
				{Index: 2, Kind: config.SerialNull},
			}
			return m
		},
		"bare": func(dir string) *config.Machine {
			m := config.New("bare")
			m.Folder, m.GuestOS = dir, defaultGuestOS
			return m
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Dir(install(t, "m.vmx", nil))
			want := build(dir)
			got, report := reload(t, want, dir, Options{AllowHostAccess: true})
			if diff := cmp.Diff(want, got, sameAddr); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			for _, f := range report.Findings {
				if f.Class >= Warned && !kept(f.Key) || strings.Contains(f.Reason, "not known") {
					t.Errorf("a file of our own draws: %s", f.describe("m.vmx"))
				}
			}
		})
	}
}

// TestNewSuitsVMware looks for what VMware would stumble over.
func TestNewSuitsVMware(t *testing.T) {
	m := demo("/vm")
	m.SetKernel("/vm/vmlinuz", "", "quiet")
	f, err := New(m, "/vm")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"scsi0.virtualDev": "lsilogic", "ethernet0.virtualDev": "e1000", "scsi0:0.fileName": "disk.vmdk", "config.version": "8", "floppy0.present": "FALSE",
		"uuid.bios": "01 02 03 00 00 00 00 00-00 00 00 00 00 00 00 09",
	} {
		if got, _ := f.Get(key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if _, ok := f.Get("scsi0:1.fileName"); ok {
		t.Error("VMware is given a .vhd, which it cannot attach")
	}
	for _, key := range f.Keys() {
		if len(f.index[fold(key)]) != 1 {
			t.Errorf("%s is defined twice", key)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for want, spoil := range map[string]func(*config.Machine){
		"cannot be built":         func(m *config.Machine) { m.Memory = 1 },
		"lies outside the folder": func(m *config.Machine) { m.Disks[0].Path = "/elsewhere/disk.vmdk" },
		"is a device of the host": func(m *config.Machine) { m.Disks[0].HostDevice = true },
	} {
		m := demo("/vm")
		spoil(m)
		if f, err := New(m, "/vm"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, %v; want %q", f, err, want)
		}
	}
}
