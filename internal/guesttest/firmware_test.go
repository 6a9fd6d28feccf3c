package guesttest

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/images/bootdisk"
	"github.com/sharevm/vmm/images/testguest/kit"
)

// newFirmwareFile begins a machine of the PC board that boots by firmware, "bios" or "efi", without a screen.
func newFirmwareFile(t *testing.T, kind string) *machineFile {
	t.Helper()
	needGuests(t)
	f := &machineFile{dir: t.TempDir()}
	f.set(".encoding", "UTF-8")
	f.set("config.version", "8")
	f.set("virtualHW.version", "19")
	f.set("guestOS", "debian12-64")
	f.set("displayName", t.Name())
	f.set("memsize", "512")
	f.set("firmware", kind)
	f.set("vmm.console", "serial0")
	f.set("vmm.display", "none")
	return f
}

// needMatrix skips a boot that is like others and takes long, but for `make matrix`.
func needMatrix(t *testing.T) {
	t.Helper()
	needGuests(t)
	if os.Getenv("VMM_MATRIX") == "" {
		t.Skip("one of the boots of make matrix")
	}
}

// places are where a disk can be, by the name of its controller: the keys of the .vmx, and the address.
var places = map[string]struct {
	keys    [][2]string
	address string
}{
	"virtio":   {[][2]string{{"scsi0.present", "TRUE"}, {"scsi0.virtualDev", "virtio"}}, "scsi0:0"},
	"ide":      {nil, "ide0:0"},
	"ahci":     {[][2]string{{"sata0.present", "TRUE"}}, "sata0:0"},
	"nvme":     {[][2]string{{"nvme0.present", "TRUE"}}, "nvme0:0"},
	"lsilogic": {[][2]string{{"scsi0.present", "TRUE"}, {"scsi0.virtualDev", "lsilogic"}}, "scsi0:0"},
	"pvscsi":   {[][2]string{{"scsi0.present", "TRUE"}, {"scsi0.virtualDev", "pvscsi"}}, "scsi0:0"},
	"lsisas":   {[][2]string{{"scsi0.present", "TRUE"}, {"scsi0.virtualDev", "lsisas1068"}}, "scsi0:0"},
}

// addDiskOn attaches a file of the machine's folder to a controller of places.
func (f *machineFile) addDiskOn(place, file string) {
	p := places[place]
	for _, k := range p.keys {
		f.set(k[0], k[1])
	}
	f.set(p.address+".present", "TRUE")
	f.set(p.address+".fileName", file)
}

// helloSector is a boot sector that says hello on COM1 and powers the machine off by ACPI.
func helloSector() []byte {
	code := []byte{
		0xFA, 0x31, 0xC0, 0x8E, 0xD8, // cli; xor ax, ax; mov ds, ax
		0xBE, 0x1D, 0x7C, // mov si, message
		0xBA, 0xF8, 0x03, // mov dx, 3F8h
		0xAC, 0x84, 0xC0, 0x74, 0x03, 0xEE, 0xEB, 0xF8, // lodsb; test al, al; jz off; out dx, al; jmp to lodsb
		0xBA, 0x04, 0x06, 0xB8, 0x00, 0x3C, 0xEF, 0xF4, 0xEB, 0xFD, // off: mov dx, 604h; mov ax, 3C00h; out dx, ax; hlt; jmp to hlt
	}
	code = append(code, "boot sector: hello\r\n\x00"...)
	sector := append(code, make([]byte, 512-len(code))...)
	sector[510], sector[511] = 0x55, 0xAA
	return sector
}

// TestBIOSBootsSector has SeaBIOS start a boot sector from each controller that it has a driver for.
func TestBIOSBootsSector(t *testing.T) {
	for place := range places {
		t.Run(place, func(t *testing.T) {
			f := newFirmwareFile(t, "bios")
			f.set("memsize", "64")
			f.addDiskOn(place, "disk.img")
			if err := os.WriteFile(filepath.Join(f.dir, "disk.img"), append(helloSector(), make([]byte, 1<<20-512)...), 0o644); err != nil {
				t.Fatal(err)
			}
			f.bootSector(t, "Booting from Hard Disk")
		})
	}
}

// bootSector has SeaBIOS start what helloSector says hello from. The firmware's log says so, too.
func (f *machineFile) bootSector(t *testing.T, logged string) {
	t.Helper()
	log := filepath.Join(f.dir, "firmware.log")
	g := f.start(t, "--firmware-log", log)
	t.Cleanup(func() {
		if b, err := os.ReadFile(log); t.Failed() {
			t.Logf("the firmware's log, error %v:\n%s", err, b)
		}
	})
	g.expect("^.*boot sector: hello")
	if err := g.wait(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(log); err != nil || !bytes.Contains(b, []byte(logged)) {
		t.Errorf("the firmware's log does not say %q, error %v", logged, err)
	}
}

// bootDisk puts the kit's disk into the machine's folder, with these tasks.
func (f *machineFile) bootDisk(t *testing.T, tasks string, words ...string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(kitDir, kit.BootDisk))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(f.dir, "disk.img")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	setTasks(t, path, tasks, words...)
}

func setTasks(t *testing.T, disk, tasks string, words ...string) {
	t.Helper()
	cmdline := strings.Join(append([]string{"console=ttyS0", "quiet", "panic=1", "vmm.tasks=" + tasks}, words...), " ")
	if err := bootdisk.SetCmdline(context.Background(), disk, cmdline); err != nil {
		t.Fatal(err)
	}
}

// TestFirmwareBootsLinux has SeaBIOS and OVMF start GRUB from a disk, and GRUB a kernel. The kernel finds nothing to complain about, and the ACPI compiler
// neither in the tables that the firmware placed.
func TestFirmwareBootsLinux(t *testing.T) {
	for kind, platform := range map[string]string{"bios": "pc", "efi": "efi"} {
		t.Run(kind, func(t *testing.T) {
			f := newFirmwareFile(t, kind)
			f.set("numvcpus", "2")
			f.bootDisk(t, "info,firmware,pci,acpi")
			f.addDiskOn("virtio", "disk.img")
			g := f.start(t)
			g.expect("grub: on " + platform)
			g.expect("firmware " + kind + "$")
			g.finish()
			for _, c := range g.said(`^info complaint (.*)`) {
				t.Errorf("the kernel complains: %s", c[1])
			}
			tables := g.said(`^acpi (\S+) (\S+)`)
			if len(tables) < 5 {
				t.Fatalf("%d ACPI tables", len(tables))
			}
			for _, table := range tables {
				if n := table[1]; n != "BGRT" && n != "UEFI" { // OVMF's own
					checkTable(t, n, table[2])
				}
			}
		})
	}
}

// TestStandIn boots by EFI from controllers that Debian's OVMF has no driver for. The guest sees its disk once, by its own driver.
func TestStandIn(t *testing.T) {
	for place, driver := range map[string]string{"pvscsi": "vmw_pvscsi", "lsisas": "mptsas"} {
		t.Run(place, func(t *testing.T) {
			if place != "pvscsi" {
				needMatrix(t)
			}
			f := newFirmwareFile(t, "efi")
			f.bootDisk(t, "firmware,kmsg,pci")
			f.addDiskOn(place, "disk.img")
			g := f.start(t)
			g.expect("grub: on efi")
			g.finish()
			g.noComplaints()
			if len(g.said(`^pci .* driver=`+driver+` `)) != 1 {
				t.Errorf("the guest has no controller that %s drives", driver)
			}
			if seen := g.said(`^pci (\S+) \S+ 1af4:1042 .*`); len(seen) != 0 {
				t.Errorf("the guest sees the stand-in: %s", seen[0][0])
			}
		})
	}
}

// TestEFIVariables has a guest write a variable, and find it after a power cycle in which the machine's process was another.
func TestEFIVariables(t *testing.T) {
	f := newFirmwareFile(t, "efi")
	f.bootDisk(t, "efi:write:VmmTest:kept")
	f.addDiskOn("virtio", "disk.img")
	f.start(t).finish()
	setTasks(t, filepath.Join(f.dir, "disk.img"), "efi:read:VmmTest:kept")
	f.start(t).finish()
}

// TestFirmwareReboot restarts machines that boot by firmware.
func TestFirmwareReboot(t *testing.T) {
	for _, kind := range []string{"bios", "efi"} {
		t.Run(kind, func(t *testing.T) {
			if kind == "efi" {
				needMatrix(t)
			}
			f := newFirmwareFile(t, kind)
			f.bootDisk(t, "reboot:/dev/vdb:1")
			f.addDiskOn("virtio", "disk.img")
			f.create(t, "count.raw", 1<<20)
			f.addDisk(1, "count.raw")
			g := f.start(t)
			g.finish()
			if n := len(g.said(`reboots \d$`)); n != 2 {
				t.Errorf("the guest started %d times, want 2", n)
			}
		})
	}
}
