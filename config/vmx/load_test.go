package vmx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sharevm/vmm/config"
)

const head = "config.version = \"8\"\nvirtualHW.version = \"16\"\nguestOS = \"debian12-64\"\n"

// sameAddr lets cmp look at forwards.
var sameAddr = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// load writes a machine file of head and body (whose lines start at 4) beside the images and loads it.
func load(t testing.TB, body string, opt Options) (*config.Machine, []Finding, error) {
	t.Helper()
	m, _, findings, err := Load(install(t, "m.vmx", []byte(head+body)), opt)
	return m, findings, err
}

func TestTranslationOfCorpus(t *testing.T) {
	bridges := StandardBridges()
	for name, want := range map[string]func(dir string) *config.Machine{
		"workstation-windows.vmx": func(dir string) *config.Machine {
			m := config.New("Büro PC")
			m.Annotation = "Lohnbuchhaltung\r\nSie läuft seit 2023 \"unverändert\""
			m.GuestOS, m.Folder, m.Memory = "windows11-64", dir, 8<<30
			m.UUID, _ = config.ParseUUID("564d9a1c-5e20-77b1-0d5c-1f22e83b5f10")
			m.CPU = config.CPU{Count: 4, CoresPerSocket: 2, Enlightened: true}
			m.Firmware = config.Firmware{Kind: config.FirmwareEFI, SecureBoot: true, NVRAM: dir + "/Büro PC.nvram", Variables: dir + "/workstation-windows.efivars"}
			m.Bridges = bridges
			m.Controllers = []config.Controller{
				{Bus: config.Bus{Kind: config.BusSATA}, Model: config.ControllerAHCI, Slot: 36},
				{Bus: config.Bus{Kind: config.BusNVMe}, Model: config.ControllerNVMe, Slot: 224},
			}
			m.Disks = []config.Disk{
				{Address: config.Address{Bus: config.Bus{Kind: config.BusSATA}, Unit: 1}, Media: config.MediaCDROM, Mode: config.ModePersistent, ReadOnly: true},
				{Address: config.Address{Bus: config.Bus{Kind: config.BusNVMe}}, Media: config.MediaDisk, Path: dir + "/Büro PC.vmdk", Format: config.FormatVMDK, Mode: config.ModePersistent, Connected: true},
			}
			m.NICs = []config.NIC{{
				Model: config.NICE1000E, MAC: config.MAC{0, 0x0c, 0x29, 0x3b, 0x5f, 0x10}, MACSource: config.MACGenerated, Slot: 160, Connection: config.ConnUser, Connected: true,
			}}
			m.Display.VRAM = 256 << 20
			m.Input.Tablet = true
			m.USB = config.USB{UHCI: true, EHCI: true, XHCI: true, UHCISlot: 32, EHCISlot: 34, XHCISlot: 192}
			m.Sound = config.Sound{Model: config.SoundHDA, Slot: 33}
			m.Clock.LocalTime = true
			m.Power.Suspend = config.PowerSoft
			m.Tools.GuestInfo = map[string]string{"detailed.data": "architecture='X86' bitness='64' prettyName='Windows 11 Pro'"}
			return m
		},
		"minimal.vmx": func(dir string) *config.Machine {
			m := config.New("minimal")
			m.GuestOS, m.Folder, m.Memory = "otherlinux-64", dir, 256<<20
			m.Board, m.Firmware.Kind = config.BoardFast, config.FirmwareDirect
			m.Boot = config.Boot{Kernel: dir + "/vmlinuz", Initrd: dir + "/boot/initrd.img", Cmdline: "root=/dev/vda ro console=ttyS0 quiet panic=-1"}
			m.Controllers = []config.Controller{
				{Bus: config.Bus{Kind: config.BusIDE}, Model: config.ControllerVirtioBlk, Slot: config.NoSlot},
				{Bus: config.Bus{Kind: config.BusIDE, Number: 1}, Model: config.ControllerVirtioBlk, Slot: config.NoSlot},
			}
			m.Disks = []config.Disk{
				{Address: config.Address{Bus: config.Bus{Kind: config.BusIDE}}, Media: config.MediaDisk, Path: dir + "/root.vmdk", Format: config.FormatVMDK, Mode: config.ModePersistent, Connected: true},
				{Address: config.Address{Bus: config.Bus{Kind: config.BusIDE, Number: 1}}, Media: config.MediaDisk, Path: dir + "/data.vhd", Format: config.FormatVHD, Mode: config.ModePersistent, Connected: true, Serial: "DATA0001"},
			}
			http, _ := config.ParseForward("8080:80")
			ssh, _ := config.ParseForward("2222:22")
			m.NICs = []config.NIC{{
				Model: config.NICVirtio, MACSource: config.MACGenerated, Slot: config.NoSlot, Connection: config.ConnUser, Connected: true, Publish: []config.Forward{http, ssh},
			}}
			m.Serials = []config.Serial{{Kind: config.SerialConsole, Connected: true}}
			return m
		},
		"japanese.vmx": func(dir string) *config.Machine {
			m := config.New("表計算 機能テスト")
			m.Annotation = "一行目\r\n二行目：ソ連 ポ | 終"
			m.GuestOS, m.Folder, m.Memory = "winxppro", dir, 512<<20
			m.UUID, _ = config.ParseUUID("564dee3c5206a3debe4a739ccc99151f")
			m.CPU.Enlightened, m.Clock.LocalTime = true, true
			m.Controllers = []config.Controller{
				{Bus: config.Bus{Kind: config.BusIDE}, Model: config.ControllerPIIX, Slot: config.NoSlot},
				{Bus: config.Bus{Kind: config.BusIDE, Number: 1}, Model: config.ControllerPIIX, Slot: config.NoSlot},
				{Bus: config.Bus{Kind: config.BusFloppy}, Model: config.ControllerFloppy, Slot: config.NoSlot},
			}
			m.Disks = []config.Disk{
				{Address: config.Address{Bus: config.Bus{Kind: config.BusIDE}}, Media: config.MediaDisk, Path: dir + "/ディスク.vmdk", Format: config.FormatVMDK, Mode: config.ModeIndependentNonpersistent, Connected: true},
				{Address: config.Address{Bus: config.Bus{Kind: config.BusIDE, Number: 1}}, Media: config.MediaCDROM, Mode: config.ModePersistent, ReadOnly: true, Connected: true},
				{Address: config.Address{Bus: config.Bus{Kind: config.BusFloppy}}, Media: config.MediaFloppy, Path: dir + "/ドライバ.flp", Format: config.FormatRaw, Mode: config.ModePersistent, Connected: true},
			}
			m.NICs = []config.NIC{{
				Model: config.NICVlance, MAC: config.MAC{0, 0x50, 0x56, 0, 0, 7}, MACSource: config.MACStatic, Slot: config.NoSlot, Connection: config.ConnUser, Connected: true,
			}}
			m.Sound.Model = config.SoundES1371
			return m
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := install(t, name, readCorpus(t, name))
			got, _, _, err := Load(path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want(filepath.Dir(path)), got, sameAddr); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestKeys changes one thing at a time and looks at the part of the machine that it is about.
func TestKeys(t *testing.T) {
	const disk = "scsi0.present = TRUE\nscsi0.virtualDev = lsilogic\nscsi0:0.present = TRUE\nscsi0:0.fileName = disk.vmdk\n"
	const nic = "ethernet0.present = TRUE\nethernet0.connectionType = nat\n"
	const kernel = "vmm.kernel = vmlinuz\n"
	for _, c := range []struct {
		body string
		part func(*config.Machine) any
		want any
	}{
		{"", func(m *config.Machine) any { return m.Memory }, int64(32 << 20)},
		{"", func(m *config.Machine) any { return m.Name }, "m"},
		{"displayName = \"a|0Ab\"", func(m *config.Machine) any { return m.Name }, "a b"},
		{"", func(m *config.Machine) any { return len(m.Disks) + len(m.NICs) + len(m.Serials) }, 0},
		{disk, func(m *config.Machine) any { return m.Controllers[0].Model }, config.ControllerLSILogic},
		{disk + kernel, func(m *config.Machine) any { return m.Controllers[0].Model }, config.ControllerVirtioBlk},
		{disk + kernel + "vmm.board = pc", func(m *config.Machine) any { return m.Controllers[0].Model }, config.ControllerLSILogic},
		{disk + kernel + "vmm.board = pc", func(m *config.Machine) any { return m.Board }, config.BoardPC},
		{disk + "vmm.scsi0.virtualDev = virtio", func(m *config.Machine) any { return m.Controllers[0].Model }, config.ControllerVirtioBlk},
		{disk + "scsi0.sasWWID = \"50 05 05 65 81 f2 6e 00\"", func(m *config.Machine) any { return m.Controllers[0].SASWWID }, uint64(0x5005056581f26e00)},
		{disk + "vmm.scsi0:0.fileName = data.vhd", func(m *config.Machine) any { return m.Disks[0].Format }, config.FormatVHD},
		{disk + "scsi0:1.fileName = gone.vmdk\nscsi0:1.present = FALSE", func(m *config.Machine) any { return len(m.Disks) }, 1},
		{strings.Replace(disk, "TRUE", "FALSE", 1), func(m *config.Machine) any { return len(m.Disks) + len(m.Controllers) }, 0},
		{"scsi1.present = TRUE\nscsi1.virtualDev = pvscsi", func(m *config.Machine) any { return m.Controllers[0].Bus.String() }, "scsi1"},
		{disk + "scsi0:0.writeThrough = TRUE", func(m *config.Machine) any { return m.Disks[0].WriteThrough }, true},
		{disk + "sched.scsi0:0.throughputCap = 80IOps\nsched.scsi0:0.bandwidthCap = 10MBps", func(m *config.Machine) any { return []any{m.Disks[0].OpsCap, m.Disks[0].BytesCap} }, []any{int64(80), int64(10 << 20)}},
		{disk + "scsi0:0.throughputCap = 2kiops\nsched.scsi0:0.throughputCap = off", func(m *config.Machine) any { return m.Disks[0].OpsCap }, int64(2000)},
		{"vmm.limit.disk.iops = 500\nvmm.limit.Net.in.burst = 1M\nvmm.limit.cpu.quota = \"150%\"", func(m *config.Machine) any {
			return []any{m.Limits.DiskOps.PerSecond, m.Limits.NetIn.Burst, m.Limits.CPUQuota}
		}, []any{int64(500), int64(1 << 20), int64(1500)}},
		{disk + "scsi0:0.mode = nonpersistent", func(m *config.Machine) any { return m.Disks[0].Mode }, config.ModeIndependentNonpersistent},
		{nic, func(m *config.Machine) any { return m.NICs[0].Model }, config.NICE1000},
		{nic + kernel, func(m *config.Machine) any { return m.NICs[0].Model }, config.NICVirtio},
		{nic + "vmm.ethernet0.virtualDev = virtio", func(m *config.Machine) any { return m.NICs[0].Model }, config.NICVirtio},
		{nic + "vmm.ethernet0.present = FALSE", func(m *config.Machine) any { return len(m.NICs) }, 0},
		{"ethernet0.present = TRUE\nethernet0.connectionType = custom\nethernet0.vnet = /dev/vmnet1", func(m *config.Machine) any { return m.NICs[0].Connection }, config.ConnHostOnly},
		{"ethernet0.present = TRUE\nethernet0.connectionType = custom\nethernet0.vnet = VMnet8", func(m *config.Machine) any { return m.NICs[0].Connection }, config.ConnUser},
		{nic + "vmm.hostAccess = TRUE", func(m *config.Machine) any { return m.NICs[0].HostAccess }, false},
		{nic + "vmm.net.lan = TRUE", func(m *config.Machine) any { return m.NICs[0].LAN }, false},
		{nic + "vmm.kiosk.allow = \"Example.org:443 *.debian.org\"", func(m *config.Machine) any { return fmt.Sprint(m.NICs[0].Allow) }, "[example.org:443 *.debian.org]"},
		{nic + "vmm.kiosk.allow = example.org\nvmm.net.allow = debian.org", func(m *config.Machine) any { return fmt.Sprint(m.NICs[0].Allow) }, "[debian.org]"},
		{nic + "vmm.net.allow = \"Example.org:443, *.debian.org:443, 192.0.2.0/24\"", func(m *config.Machine) any { return fmt.Sprint(m.NICs[0].Allow) }, "[example.org:443 *.debian.org:443 192.0.2.0/24]"},
		{nic + "vmm.ethernet0.tftp = boot\nvmm.ethernet0.bootFile = initrd.img\nvmm.ethernet0.bootScript = http://10.0.2.2/x", func(m *config.Machine) any {
			b := m.NICs[0].Boot
			return []any{filepath.Base(b.Folder), b.File, b.Script}
		}, []any{"boot", "initrd.img", "http://10.0.2.2/x"}},
		{strings.Replace(nic, "nat", "none", 1) + "vmm.ethernet0.tftp = boot", func(m *config.Machine) any { return m.NICs[0].Boot }, config.NetBoot{}},
		{"ethernet10.present = FALSE", func(m *config.Machine) any { return len(m.NICs) }, 0},
		{kernel, func(m *config.Machine) any { return m.Serials }, []config.Serial{{Kind: config.SerialConsole, Connected: true}}},
		{kernel + "vmm.console = none", func(m *config.Machine) any { return len(m.Serials) }, 0},
		{kernel + "serial0.present = TRUE\nserial0.fileType = file\nserial0.fileName = out.log", func(m *config.Machine) any { return m.Serials[0].Kind }, config.SerialFile},
		{"vmm.console = serial1", func(m *config.Machine) any { return m.Serials[0].Index }, 1},
		{"serial0.present = TRUE\nserial0.fileType = pipe\nserial0.fileName = \"\\\\.\\pipe\\com1\"\nserial0.pipe.endPoint = client",
			func(m *config.Machine) any { return []any{filepath.Base(m.Serials[0].Path), m.Serials[0].Server} }, []any{"com1.sock", false}},
		{"bios.bootOrder = \"ethernet0,hdd,CDROM\"\nbios.hddOrder = scsi0:0", func(m *config.Machine) any { return m.Firmware.BootOrder }, []string{"ethernet0", "scsi0:0", "cdrom"}},
		{"bios.bootDelay = 2500", func(m *config.Machine) any { return m.Firmware.BootDelay }, 2500 * time.Millisecond},
		{"sched.cpu.shares = high\nnumvcpus = 2", func(m *config.Machine) any { return m.CPU.Shares }, 4000},
		{"sched.cpu.max = unlimited", func(m *config.Machine) any { return m.CPU.LimitMHz }, 0},
		{"hypervisor.cpuid.v0 = FALSE\nvhv.enable = TRUE", func(m *config.Machine) any { return []bool{m.CPU.HideHypervisor, m.CPU.Nested} }, []bool{true, true}},
		{"rtc.diffFromUTC = -3600", func(m *config.Machine) any { return m.Clock.Offset }, -time.Hour},
		{"rtc.startTime = 86400", func(m *config.Machine) any { return m.Clock.Start }, time.Unix(86400, 0).UTC()},
		{"vtpm.present = TRUE", func(m *config.Machine) any { return filepath.Base(m.TPM.State) }, "m.tpm"},
		{"guestinfo.A.b = x", func(m *config.Machine) any { return m.Tools.GuestInfo["a.b"] }, "x"},
		{"vmm.display = None", func(m *config.Machine) any { return m.DisplayAdapter() }, config.DisplayNone},
		{"", func(m *config.Machine) any { return m.DisplayAdapter() }, config.DisplayVGA},
		{kernel, func(m *config.Machine) any { return m.DisplayAdapter() }, config.DisplayNone},
		{"svga.vramSize = 0", func(m *config.Machine) any { return m.Display.VRAM }, int64(4 << 20)},
		{"", func(m *config.Machine) any { return []any{m.Run.Balloon, m.Run.KSM} }, []any{true, false}},
		{"vmm.input = Virtio", func(m *config.Machine) any { return m.Input.Model }, config.InputVirtio},
		{"vmm.memory.balloon = FALSE\nvmm.memory.ksm = TRUE", func(m *config.Machine) any { return []any{m.Run.Balloon, m.Run.KSM} }, []any{false, true}},
		{"vmm.clipboard = In", func(m *config.Machine) any { return m.Run.Clipboard }, config.ClipboardIn},
		{"vmm.agent = TRUE", func(m *config.Machine) any { return m.Run.Agent }, true},
		{"vmm.priority = Low\nvmm.overlay = disposable\nvmm.hotkey = F5", func(m *config.Machine) any { return []any{m.Run.Priority, m.Run.Overlay, m.Run.Hotkey} },
			[]any{config.PriorityLow, config.OverlayDisposable, "F5"}},
		{"vmm.kiosk.url = http://x/#y\nvmm.kiosk.allow = \"a.org b.org\"", func(m *config.Machine) any { return []any{m.Run.Kiosk.URL, m.Run.Kiosk.Allow} }, []any{"http://x/#y", []string{"a.org", "b.org"}}},
	} {
		m, findings, err := load(t, c.body, Options{})
		if err != nil {
			t.Errorf("%q: %v", c.body, err)
			continue
		}
		if diff := cmp.Diff(c.want, c.part(m)); diff != "" {
			t.Errorf("%q (%v): -want +got:\n%s", c.body, findings, diff)
		}
	}
}

func TestRefused(t *testing.T) {
	const disk = "ide0:0.present = TRUE\nide0:0.fileName = "
	const serial = "serial0.present = TRUE\nserial0.fileType = file\nserial0.fileName = "
	const nic = "ethernet0.present = TRUE\nethernet0.connectionType = nat\n"
	for _, c := range []struct{ body, want string }{
		{"encryption.keySafe = x", "m.vmx:4: encryption.keySafe: the machine is encrypted; remove the encryption"},
		{"memsize = 255", "m.vmx:4: memsize: 255 MB is not a multiple of 4; set it to 256"},
		{"memsize = lots", `m.vmx:4: memsize: "lots" must be a number from 4 to`},
		{"memsize = -4", `m.vmx:4: memsize: "-4" must be a number`},
		{"memsize = 64\nmemSize = 128", "m.vmx:5: memSize: already defined in line 4 as another value; VMware refuses such a file; keep one of the lines"},
		{"numvcpus = 3\ncpuid.coresPerSocket = 2", "m.vmx:5: cpuid.coresPerSocket: 3 virtual CPUs cannot be split into sockets of 2 cores"},
		{"numvcpus = 0", "numvcpus"},
		{"firmware = uboot", `m.vmx:4: firmware: "uboot" must be bios or efi`},
		{"checkpoint.vmState = \"a.vmss\"", "m.vmx:4: checkpoint.vmState: the machine was suspended by VMware (a.vmss)"},
		{disk + "gone.vmdk", "ide0:0.fileName: "},
		{disk + "gone.vmdk", "gone.vmdk: no such file"},
		{disk, "disk ide0:0 names no file"},
		{disk + "../outside.vmdk", "lies outside the folder of the .vmx; move the file there, or allow it with --allow-outside"},
		{disk + "/etc/passwd.vmdk", "lies outside the folder"},
		{disk + "boot/../../x.vmdk", "lies outside the folder"},
		{disk + "link.vmdk", "leads to /dev/null, which lies outside"},
		{disk + "linkdir/passwd.vmdk", "lies outside the folder"},
		{disk + "folder.vmdk", "is not a regular file"},
		{disk + "fifo.vmdk", "is not a regular file"},
		{disk + "self.vmdk", "is the machine file itself"},
		{disk + "loop.vmdk", "too many links"},
		{disk + "disk.vmdk/x.vmdk", "not a directory"},
		{disk + "\"C:\\VMs\\x.vmdk\"", "is a path on a Windows host"},
		{disk + "\"\\\\server\\x.vmdk\"", "is a path on a Windows host"},
		{disk + "m.vmx", `extension ".vmx" names no disk format`},
		{disk + "\"a|0Ab.vmdk\"", "cannot be a file name"},
		{disk + "disk.vmdk\nide0:0.throughputCap = 5parsecs", `m.vmx:6: ide0:0.throughputCap: "5parsecs" is not a limit; set it to "off"`},
		{disk + "disk.vmdk\nsched.ide0:0.bandwidthCap = 0", `sched.ide0:0.bandwidthCap: "0" is not a limit`},
		{"vmm.limit.disk.iops = some", `vmm.limit.disk.iops: disk.iops: not a limit: "some" is not a whole number`},
		{"vmm.net.allow = \"example.org, http://x\"", `vmm.net.allow: "http://x" is not a place to allow`},
		{"vmm.input = usb", `"usb" must be virtio or none`},
		{"vmm.net.allow = \" , \"", "vmm.net.allow: the list names no place"},
		{"vmm.net.allow = 192.168.1.0/24", "vmm.net.allow: 192.168.1.0/24 lies in the host's own network; allow it with --allow-host-access"},
		{"vmm.display = cga", `"cga" must be vga, virtio or none`},
		{"vmm.kernel = vmlinuz\nvmm.display = vga", "no place for a VGA"},
		{"vmm.limit.gravity = 1", `not a limit: "gravity" (known: disk.iops `},
		{disk + "disk.vmdk\nide0:0.mode = undoable", `"undoable" must be persistent`},
		{disk + "disk.vmdk\nide0:0.redo = a.REDO", "has a redo log (a.REDO) that would be lost"},
		{disk + "disk.vmdk\nide0:0.deviceType = rawDisk", "is one of the host's own; allow it with --allow-host-devices"},
		{disk + "disk.vmdk\nide0:0.deviceType = scsi-passthru", "is a kind of drive that vmm does not have"},
		{disk + "disk.vmdk\nide0:1.present = TRUE\nide0:1.fileName = disk.vmdk", "ide0:0 and ide0:1 both use"},
		{disk + "locked.vmdk", "VMware has locked.vmdk open (locked.vmdk.lck is not empty)"},
		{"scsi0:7.present = TRUE", `m.vmx:4: scsi0:7.present: "scsi0:7" is not a disk address`},
		{"scsi9.present = TRUE", "m.vmx:4: scsi9.present: there is no such device (scsi0 to scsi3)"},
		{"scsi0.present = TRUE\nscsi0.virtualDev = virtscsi", `"virtscsi" must be buslogic`},
		{"scsi0.present = TRUE\nscsi0.sharedBus = virtual", "disks cannot be shared"},
		{"scsi0.present = TRUE\nscsi0.pciSlotNumber = 9000", `"9000" must be a number from -1 to 8191`},
		{"ethernet10.present = TRUE", "there is no such device (ethernet0 to ethernet9)"},
		{"ethernet00.present = TRUE", "there is no such device"},
		{"ethernet99999999999999999999.present = TRUE", "there is no such device"},
		{"ethernet0.present = maybe", `"maybe" must be TRUE or FALSE`},
		{"ethernet0.present = TRUE\nethernet0.virtualDev = ne2k", `"ne2k" must be vlance`},
		{"ethernet0.present = TRUE\nethernet0.generatedAddress = 01:00:5e:00:00:01", "is a multicast address"},
		{"ethernet0.present = TRUE\nvmm.ethernet0.tap = tap0", "would be wired to the host's tap0; allow it with --allow-host-devices"},
		{nic + "vmm.ethernet0.tftp = .", "holds the machine itself; put the files into a folder of their own"},
		{nic + "vmm.ethernet0.tftp = boot/..", "holds the machine itself"},
		{nic + "vmm.ethernet0.tftp = /etc", "lies outside the folder of the .vmx; move the file there, or allow it with --allow-outside"},
		{nic + "vmm.ethernet0.tftp = linkdir", "leads to /etc, which lies outside"},
		{nic + "vmm.ethernet0.tftp = none", "no such file"},
		{nic + "vmm.ethernet0.tftp = vmlinuz", "is not a folder"},
		{nic + "vmm.ethernet0.bootFile = pxelinux.0", `m.vmx:6: vmm.ethernet0.bootFile: "pxelinux.0" is a file by TFTP, and no folder is served; name a folder that has it with vmm.ethernet0.tftp, or give a URL`},
		{"vmm.kernel = gone", "m.vmx:4: vmm.kernel: "},
		{"vmm.kernel = /proc/kcore", "lies outside the folder"},
		{"vmm.board = fast", "needs a kernel"},
		{"vmm.board = i440fx", "must be fast or pc"},
		{"vmm.kernel = vmlinuz\nvmm.cmdline = \"" + strings.Repeat("x", 3000) + "\"", "command line has 3000 bytes, at most 2047 fit"},
		{"vmm.overlay = maybe", "must be none, disposable or keep"},
		{"vmm.priority = urgent", "must be low, normal or high"},
		{"vmm.publish = 80\n", `"80" is not a port forward`},
		{"ethernet0.present = TRUE\nethernet0.connectionType = nat\nvmm.publish = 0.0.0.0:80:80", "would be open to the network; allow it with --allow-host-access"},
		{serial + "m.vmx", "is the machine file itself"},
		{serial + "other.vmx", "the guest's output would be written into a file of the machine (other.vmx)"},
		{serial + "disk.vmdk", "the guest's output would be written into a file of the machine"},
		{serial + "../out.log", "lies outside the folder"},
		{serial + "/tmp/out.log", "lies outside the folder"},
		{serial + "vmlinuz\nvmm.kernel = vmlinuz", "serial0 would write into"},
		{"serial4.present = TRUE", "serial0 to serial3"},
		{"serial0.present = TRUE\nserial0.fileType = modem", "must be device, file, pipe or network"},
		{"RemoteDisplay.vnc.enabled = TRUE\nRemoteDisplay.vnc.ip = 0.0.0.0", "would be open to the network without a password"},
		{"pciPassthru0.present = TRUE", "a PCI device of VMware's host is passed through; remove the device"},
		{"bios440.filename = evil.rom", "brings its own firmware"},
		{"pciBridge31.present = TRUE", "there is no such device"},
		{"guestOS = arm-debian12-64", "already defined in line 3"},
	} {
		path := install(t, "m.vmx", []byte(head+c.body))
		hostileFolder(t, filepath.Dir(path))
		_, _, findings, err := Load(path, Options{})
		var refused *RefusedError
		if !errors.As(err, &refused) || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.body, err, c.want)
			continue
		}
		if strings.Contains(err.Error(), "\n") || len(err.Error()) > 500 {
			t.Errorf("%q: not one clear line: %q", c.body, err)
		}
		if len(only(findings, Refused)) != len(refused.Reasons) {
			t.Errorf("%q: findings and error disagree", c.body)
		}
	}
}

// hostileFolder fills a machine's folder with things that lead elsewhere.
func hostileFolder(t *testing.T, dir string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	touch(t, at("locked.vmdk"))
	touch(t, at("locked.vmdk.lck/M12345.lck"))
	for _, err := range []error{
		os.Symlink("/dev/null", at("link.vmdk")),
		os.Symlink("/etc", at("linkdir")),
		os.Symlink("loop.vmdk", at("loop.vmdk")),
		os.Mkdir(at("folder.vmdk"), 0o755),
		syscall.Mkfifo(at("fifo.vmdk"), 0o600),
		os.Link(at("m.vmx"), at("self.vmdk")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestOptionsAllow(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "o.vmdk")
	touch(t, outside)
	const nic = "ethernet0.present = TRUE\nethernet0.connectionType = nat\n"
	for _, c := range []struct {
		body  string
		allow Options
		check func(*config.Machine) bool
	}{
		{"ide0:0.present = TRUE\nide0:0.fileName = " + outside, Options{AllowOutside: true}, func(m *config.Machine) bool { return m.Disks[0].Path == outside }},
		{"ide0:0.present = TRUE\nide0:0.deviceType = rawDisk\nide0:0.fileName = disk.vmdk", Options{AllowHostDevices: true}, func(m *config.Machine) bool { return m.Disks[0].HostDevice }},
		{nic + "vmm.ethernet0.tap = tap0", Options{AllowHostDevices: true}, func(m *config.Machine) bool { return m.NICs[0].Connection == config.ConnTap }},
		{nic + "vmm.ethernet0.tftp = " + filepath.Dir(outside), Options{AllowOutside: true}, func(m *config.Machine) bool { return m.NICs[0].Boot.Folder == filepath.Dir(outside) }},
		{nic + "vmm.publish = 0.0.0.0:80:80", Options{AllowHostAccess: true}, func(m *config.Machine) bool { return len(m.NICs[0].Publish) == 1 }},
		{"checkpoint.vmState = a.vmss", Options{DiscardState: true}, func(*config.Machine) bool { return true }},
	} {
		if _, _, err := load(t, c.body, Options{}); !errors.Is(err, ErrRefused) {
			t.Errorf("%q without the option: %v", c.body, err)
		}
		if m, _, err := load(t, c.body, c.allow); err != nil || !c.check(m) {
			t.Errorf("%q with the option: %v", c.body, err)
		}
	}
	m, _, err := load(t, nic+"vmm.hostAccess = TRUE", Options{AllowHostAccess: true})
	if err != nil || !m.NICs[0].HostAccess {
		t.Errorf("host access with the option: %v", err)
	}
}

func TestLocks(t *testing.T) {
	path := install(t, "m.vmx", []byte(head))
	if err := os.Mkdir(path+".lck", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := Load(path, Options{}); err != nil {
		t.Errorf("an empty lock folder: %v", err)
	}
	touch(t, path+".lck/M1.lck")
	if _, _, _, err := Load(path, Options{}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "VMware has m.vmx open") {
		t.Errorf("a held lock: %v", err)
	}
	if _, _, findings, err := Load(path, Options{IgnoreLocks: true}); err != nil || len(findings) != 1 {
		t.Errorf("an ignored lock: %v, %v", findings, err)
	}
}

func TestNotVMX(t *testing.T) {
	for _, data := range []string{"", "hello\n", "<xml/>", "config.version = 8\nguestOS = x\n", strings.Repeat("\xff", 1000), "PK\x03\x04"} {
		_, _, _, err := Load(install(t, "x.vmx", []byte(data)), Options{})
		if !errors.Is(err, ErrNotVMX) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", clip(data), err)
		}
	}
}

func TestSymlinkedMachine(t *testing.T) {
	path := install(t, "m.vmx", []byte(head+"ide0:0.present = TRUE\nide0:0.fileName = disk.vmdk\n"))
	link := filepath.Join(t.TempDir(), "elsewhere.vmx")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	m, _, _, err := Load(link, Options{})
	if err != nil || m.Disks[0].Path != filepath.Join(filepath.Dir(path), "disk.vmdk") || m.Folder != filepath.Dir(path) {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestLint(t *testing.T) {
	const body = "memsize = 64\nmks.enable3d = FALSE\nmks.enable3d = FALSE\nvmm.kernal = x\nfuture.key = 1\nethernet1.virtualDev = bogus\nethernet1.present = FALSE\nide0:0.present = TRUE\nide0:0.fileName = gone.vmdk\nstray\n"
	path := install(t, "m.vmx", []byte(head+body))
	r, err := Lint(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	classes := map[string]Class{}
	last := 0
	for _, f := range r.Findings {
		classes[f.Key] = max(classes[f.Key], f.Class)
		if f.Line < last {
			t.Errorf("line %d is reported after line %d", f.Line, last)
		}
		last = f.Line
	}
	want := map[string]Class{
		"config.version": Honoured, "virtualHW.version": Honoured, "guestOS": Honoured, "memsize": Honoured, "mks.enable3d": Warned, "vmm.kernal": Warned,
		"future.key": Harmless, "ethernet1.virtualDev": Harmless, "ethernet1.present": Honoured, "ide0:0.present": Honoured, "ide0:0.fileName": Refused, "": Warned,
	}
	if diff := cmp.Diff(want, classes); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if r.Worst() != Refused || r.Count(Refused) != 1 {
		t.Errorf("worst %s, %d refused", r.Worst(), r.Count(Refused))
	}
	var text, all bytes.Buffer
	if err := errors.Join(r.WriteText(&text, false), r.WriteText(&all, true)); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"error: " + path + ":12: ide0:0.fileName: ",
		"warning: " + path + ":7: vmm.kernal: vmm has no such key; check the spelling\n",
		"warning: " + path + ":13: the line is not of the form key = \"value\": \"stray\"\n",
		path + ": cannot be run: ",
	} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("%q is missing from:\n%s", line, &text)
		}
	}
	if strings.Contains(text.String(), "note:") || !strings.Contains(all.String(), "note: "+path+":8: future.key: not known") {
		t.Errorf("notes:\n%s\nall:\n%s", &text, &all)
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		File     string
		Findings []struct{ Severity, Class, Key, Reason string }
	}
	if err := json.Unmarshal(data, &back); err != nil || back.File != path || back.Findings[0].Class != "honoured" || back.Findings[0].Severity != "note" {
		t.Errorf("JSON %s: %v", data, err)
	}
}
