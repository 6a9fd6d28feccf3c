package guesttest

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestChipset has Linux find the PC board's chipset without a complaint, and the compiler of ACPI's own makers read the tables that it was given.
func TestChipset(t *testing.T) {
	f := newPCFile(t, "info,pci,acpi")
	f.cmdline = append(f.cmdline, "loglevel=7")
	f.set("numvcpus", "2")
	g := f.start(t)
	g.finish()
	for _, c := range g.said(`^info complaint (.*)`) {
		t.Errorf("the kernel complains: %s", c[1])
	}
	for _, want := range []string{
		`^pci 0000:00:00\.0 060000 8086:29c0`, `^pci 0000:00:1f\.0 060100 8086:2918`,
		`hpet0: at MMIO 0xfed00000, IRQs 2, 8`, `serio: i8042 KBD port at 0x60,0x64 irq 1`, `serio: i8042 AUX port at 0x60,0x64 irq 12`,
		`input: AT Translated Set 2 keyboard`, `input: (ImExPS/2 Generic Explorer Mouse|ImPS/2)`,
	} {
		if len(g.said(want)) == 0 {
			t.Errorf("the guest did not say %q", want)
		}
	}
	tables := g.said(`^acpi (\S+) (\S+)`)
	if len(tables) < 5 {
		t.Fatalf("%d ACPI tables", len(tables))
	}
	for _, table := range tables {
		checkTable(t, table[1], table[2])
	}
}

// checkTable has iasl take a table apart and put it together again.
func checkTable(t *testing.T, name, encoded string) {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a.aml"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-d", "a.aml"}, {"-p", "b", "a.dsl"}} {
		c := exec.Command("iasl", args...)
		c.Dir = folder
		out, err := c.CombinedOutput()
		text := strings.ToLower(string(out))
		if err != nil || strings.Contains(text, "warning") && !strings.Contains(text, " 0 warnings") || strings.Contains(text, "invalid") {
			t.Errorf("%s: iasl %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
	}
}

// TestPICMode has a guest without IOAPIC and messages: pins reach it through the LPC bridge's routing and the PICs.
func TestPICMode(t *testing.T) {
	f := newPCFile(t, "info,pci,disk:/dev/vda:8:3")
	f.cmdline = append(f.cmdline, "noapic", "pci=nomsi")
	f.set("scsi0.virtualDev", "virtio")
	f.addDisk(0, "disk.img")
	if err := os.WriteFile(filepath.Join(f.dir, "disk.img"), make([]byte, 8<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	g := f.start(t)
	g.finish()
	if len(g.said(`^pci \S+ 01\d+ 1af4:\S+ driver=virtio-pci irq=(5|10|11) `)) == 0 {
		t.Errorf("the disk's interrupt is not the PICs': %v", g.said(`^pci .*`))
	}
}

// TestBridges has devices where VMware puts them: behind a conventional bridge, and behind functions of a root port.
func TestBridges(t *testing.T) {
	f := newPCFile(t, "info,pci")
	for key, value := range map[string]string{
		"pciBridge0.present": "TRUE", "pciBridge0.pciSlotNumber": "17",
		"pciBridge4.present": "TRUE", "pciBridge4.virtualDev": "pcieRootPort", "pciBridge4.functions": "8", "pciBridge4.pciSlotNumber": "21",
		"sata0.present": "TRUE", "sata0.pciSlotNumber": "33",
		"nvme0.present": "TRUE", "nvme0.pciSlotNumber": "1184",
	} {
		f.set(key, value)
	}
	f.addDrive(t, "sata0:0")
	f.addDrive(t, "nvme0:0")
	g := f.start(t)
	g.finish()
	for _, c := range g.said(`^info complaint (.*)`) {
		t.Errorf("the kernel complains: %s", c[1])
	}
	for _, want := range []string{
		`^pci 0000:00:11\.0 060400 15ad:0790`, `^pci 0000:00:15\.0 060400 15ad:07a0 driver=pcieport`, `^pci 0000:00:15\.1 060400 15ad:07a0 driver=pcieport`,
		`^pci \S+ 010601 15ad:07e0 driver=ahci .*pci0000:00/0000:00:11\.0/0000:..:01\.0`,
		`^pci \S+ 010802 15ad:07f0 driver=nvme .*pci0000:00/0000:00:15\.1/0000:..:00\.0`,
	} {
		if len(g.said(want)) == 0 {
			t.Errorf("the guest did not say %q; it said %v", want, g.said(`^pci .*`))
		}
	}
}

// addDrive gives a controller a disk.
func (f *machineFile) addDrive(t *testing.T, at string) {
	t.Helper()
	name := strings.ReplaceAll(at, ":", "-") + ".img"
	f.set(at+".present", "TRUE")
	f.set(at+".fileName", name)
	if err := os.WriteFile(filepath.Join(f.dir, name), make([]byte, 8<<20), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestSuspendToRAM has the clock's alarm wake a guest, with a disk's driver and a second processor that have to follow.
func TestSuspendToRAM(t *testing.T) {
	f := newPCFile(t, "disk:/dev/vda:4:1,suspend:3,disk:/dev/vda:4:2,suspend:3,disk:/dev/vda:4:3,cpus,info")
	f.set("scsi0.present", "TRUE")
	f.set("scsi0.virtualDev", "virtio")
	f.set("numvcpus", "2")
	f.addDrive(t, "scsi0:0")
	g := f.start(t)
	g.finish()
	if n := len(g.said(`^awake after \d+ s`)); n != 2 {
		t.Errorf("it woke %d times", n)
	}
	for _, c := range g.said(`^info complaint (.*)`) {
		t.Logf("the kernel says: %s", c[1])
	}
}
