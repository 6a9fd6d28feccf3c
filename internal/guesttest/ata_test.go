package guesttest

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/images/testguest/kit"
)

// attach puts a drive at an address such as "ide0:1"; without a file it is an empty CD-ROM drive.
func (f *machineFile) attach(address, file string) {
	f.set(regexp.MustCompile(`:.*`).ReplaceAllString(address, "")+".present", "TRUE")
	f.set(address+".present", "TRUE")
	if file == "" || filepath.Ext(file) == ".iso" {
		f.set(address+".deviceType", "cdrom-image")
	}
	if file != "" {
		f.set(address+".fileName", file)
	}
}

// disc makes an image of n sectors of 2 KiB and returns the hash of its content.
func (f *machineFile) disc(t *testing.T, name string, n int) string {
	t.Helper()
	b := make([]byte, n*2048)
	rng := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = rng.Read(b)
	if err := os.WriteFile(filepath.Join(f.dir, name), b, 0o644); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// noComplaints fails if the guest's kernel, asked by the task kmsg, had something to say against ATA.
func (g *guest) noComplaints() {
	g.t.Helper()
	g.t.Logf("the kernel warns: %q", g.said(`^kernel \d .*$`))
	for _, m := range g.said(`^kernel \d .*(\bata|\bahci|\bsd |\bsr |\bscsi|DRDY|blk_|I/O error|irq 1[45]).*$`) {
		g.t.Errorf("the guest complains: %s", m[0])
	}
}

// ataBuses are where the tests put their drives: four on IDE, six on SATA, in the order in which Linux finds them.
var ataBuses = map[string][]string{
	"ide":  {"ide0:0", "ide0:1", "ide1:0", "ide1:1"},
	"sata": {"sata0:0", "sata0:1", "sata0:2", "sata0:3", "sata0:4", "sata0:5"},
}

// TestATADrives fills all places of IDE and AHCI: a write-verify load on disks in three formats, a disc that is read and ejected, an empty drive.
func TestATADrives(t *testing.T) {
	for bus, at := range ataBuses {
		t.Run(bus, func(t *testing.T) {
			const size, discSectors = 2 << 20, 1500
			files := []string{"a.vmdk", "b.vhdx", "c.raw"}
			tasks := "info,sort,disk:/dev/port0:2:1,disk:/dev/port1:2:2,disk:/dev/port2:2:3,cdrom:/dev/sr0,fill:/dev/port1:2:4"
			if len(at) > 4 {
				files = append(files, "d.raw")
				tasks += ",disk:/dev/port3:1:5,nodisc:/dev/sr1"
			}
			f := newPCFile(t, tasks+",kmsg")
			for i, name := range files {
				f.create(t, name, size)
				f.attach(at[i], name)
			}
			want := f.disc(t, "disc.iso", discSectors)
			f.attach(at[len(files)], "disc.iso")
			if len(at) > 4 {
				f.attach(at[5], "")
			}
			g := f.start(t, "--cpus", "2")
			g.finish()
			if got := g.said(`^disc /dev/sr0 (\d+) (\S+)$`); len(got) != 1 || got[0][2] != want {
				t.Errorf("the disc of %d bytes with hash %s was read as %v", discSectors*2048, want, got)
			}
			for i, m := range g.said(`^disk .* sha256=(\S+)$`) {
				if i == 1 || i == 3 { // there is more on these
					continue
				}
				if ours := f.hash(t, files[i], size); ours != m[1] {
					t.Errorf("%s: the guest wrote %s, the image holds %s", files[i], m[1], ours)
				}
			}
			g.noComplaints()
		})
	}
}

// TestATARoot runs a guest from a root file system on a VMDK and on a VHDX.
func TestATARoot(t *testing.T) {
	for bus, name := range map[string]string{"ide": "root.vmdk", "sata": "root.vhdx"} {
		t.Run(bus, func(t *testing.T) {
			f := newPCFile(t, "files:20,kmsg")
			f.cmdline = append(f.cmdline, "vmm.root=/dev/sda")
			f.create(t, name, kit.RootSize)
			f.copyRoot(t, name)
			f.attach(ataBuses[bus][0], name)
			g := f.start(t)
			g.finish()
			g.noComplaints()
			f.check(t, name, disk.Leak, "", false)
		})
	}
}

// TestATAReset has every port reset again and again under a write-verify load.
func TestATAReset(t *testing.T) {
	for bus, at := range ataBuses {
		t.Run(bus, func(t *testing.T) {
			const size = 4 << 20
			f := newPCFile(t, "rescan:/dev/sda:4:9,hash:/dev/sda,kmsg")
			f.create(t, "disk.vmdk", size)
			f.attach(at[0], "disk.vmdk")
			g := f.start(t)
			g.finish()
			if n, _ := strconv.Atoi(g.said(`^resets (\d+)$`)[0][1]); n < 3 {
				t.Errorf("%d resets only", n)
			}
			if saw, ours := g.said(`^hash /dev/sda (\S+)$`)[0][1], f.hash(t, "disk.vmdk", size); saw != ours {
				t.Errorf("the guest saw %s, the image holds %s", saw, ours)
			}
			g.noComplaints()
		})
	}
}

// TestATAKill kills the monitor in the middle of a guest's writes: what the guest had flushed must be there.
func TestATAKill(t *testing.T) {
	for bus, name := range map[string]string{"ide": "disk.vhdx", "sata": "disk.vmdk"} {
		t.Run(bus, func(t *testing.T) {
			const size, seed = 16 << 20, 12
			f := newPCFile(t, fmt.Sprintf("journal:/dev/sda:16:%d", seed))
			f.create(t, name, size)
			f.attach(ataBuses[bus][0], name)
			f.killWhenSynced(t, f.start(t), name, size, seed)
		})
	}
}

// bootableDisc is a disc with a boot sector and nothing else (El Torito 1.0, sections 2 to 4: no emulation), n sectors of 2 KiB long.
func bootableDisc(sector []byte, n int) []byte {
	const size, volume, record, end, catalog, boot = 2048, 16, 17, 18, 19, 20
	b := make([]byte, n*size)
	at := func(i int) []byte { return b[i*size:] }
	copy(at(volume), "\x01CD001\x01")
	copy(at(record), "\x00CD001\x01EL TORITO SPECIFICATION")
	at(record)[0x47] = catalog
	copy(at(end), "\xffCD001\x01")
	// A validation entry, whose words sum up to zero, and the initial entry: bootable, 1 sector of 512 bytes.
	copy(at(catalog), "\x01\x00\x00\x00")
	copy(at(catalog)[0x1c:], "\xaa\x55\x55\xaa")
	copy(at(catalog)[0x20:], []byte{0x88, 0, 0, 0, 0, 0, 4, 0, boot})
	copy(at(boot), sector)
	return b
}

// TestBIOSBootsDisc has SeaBIOS start a disc in the CD-ROM drives of IDE and AHCI.
func TestBIOSBootsDisc(t *testing.T) {
	for _, address := range []string{"ide1:0", "sata0:1"} {
		t.Run(address, func(t *testing.T) {
			f := newFirmwareFile(t, "bios")
			f.set("memsize", "64")
			f.attach(address, "disc.iso")
			if err := os.WriteFile(filepath.Join(f.dir, "disc.iso"), bootableDisc(helloSector(), 100), 0o644); err != nil {
				t.Fatal(err)
			}
			f.bootSector(t, "Booting from DVD/CD")
		})
	}
}

// TestFirmwareBootsATA has SeaBIOS and OVMF start GRUB and a kernel from a disk on IDE and on AHCI.
func TestFirmwareBootsATA(t *testing.T) {
	for kind, platform := range map[string]string{"bios": "pc", "efi": "efi"} {
		for _, place := range []string{"ide", "ahci"} {
			t.Run(kind+"/"+place, func(t *testing.T) {
				if kind == "bios" || place == "ide" { // TestBIOSBootsSector has SeaBIOS read from both
					needMatrix(t)
				}
				f := newFirmwareFile(t, kind)
				f.bootDisk(t, "firmware,kmsg")
				f.addDiskOn(place, "disk.img")
				g := f.start(t)
				g.expect("grub: on " + platform)
				g.expect("firmware " + kind) // behind what GRUB left on its line
				g.finish()
				g.noComplaints()
			})
		}
	}
}
