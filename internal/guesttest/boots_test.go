package guesttest

import (
	"image"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/images/testguest/kit"
)

// discDrives are where the kit's disc lies.
var discDrives = map[string]string{"ide": "ide1:0", "ahci": "sata0:1"}

// bootDisc starts a machine from the kit's disc, up to GRUB's prompt.
func bootDisc(t *testing.T, firmware, drive string, change func(*machineFile), args ...string) *terminal {
	t.Helper()
	f := newFirmwareFile(t, firmware)
	f.attach(discDrives[drive], filepath.Join(kitDir, kit.Disc))
	f.set("bios.bootOrder", "cdrom")
	if change != nil {
		change(f)
	}
	x := f.startTerminal(t, args...)
	x.await("disc: grub on " + map[string]string{"bios": "pc", "efi": "efi"}[firmware])
	x.await("grub> ")
	return x
}

// grub has GRUB carry out commands.
func (x *terminal) grub(commands ...string) {
	x.t.Helper()
	for i, c := range commands {
		if i > 0 {
			x.await("grub> ")
		}
		x.enter(c)
	}
}

// onDisc skips a test whose program this host did not have when the disc was made.
func onDisc(t *testing.T, program, debian string) {
	t.Helper()
	needGuests(t)
	if _, err := os.Stat(program); err != nil {
		t.Skipf("%v (Debian's package %s has it)", err, debian)
	}
}

// TestBootsMemtest has memtest86+ test the memory, started by GRUB from a disc: by both firmwares, from both kinds of CD-ROM drives.
func TestBootsMemtest(t *testing.T) {
	onDisc(t, "/boot/memtest86+x64.bin", "memtest86+")
	for _, c := range []struct{ firmware, drive, program string }{
		{"bios", "ahci", "memtest.bin"}, {"bios", "ide", "memtest.bin"}, {"efi", "ahci", "memtest.efi"}, {"efi", "ide", "memtest.efi"},
	} {
		t.Run(c.firmware+"/"+c.drive, func(t *testing.T) {
			if c.firmware != "bios" || c.drive != "ahci" {
				needMatrix(t)
			}
			start := "linux"
			if c.firmware == "efi" {
				start = "chainloader" // as a program of EFI's, which finds its screen itself
			}
			x := bootDisc(t, c.firmware, c.drive, func(f *machineFile) {
				f.set("memsize", "128")
				f.set("vmm.display", map[string]string{"bios": "none", "efi": "vga"}[c.firmware])
			})
			x.grub(start+" /"+c.program+" console=ttyS0,115200", "boot")
			x.await(`Memtest86\+`)
			x.await(`Status: Testing`)
			x.await(`Errors: 0`)
			x.await(`\b[1-9]\d?%`) // it gets on
			if c.firmware == "efi" {
				// Its text has a blue ground; GRUB's, on black, is a few thousand pixels.
				if n := lit(screenshot(t, "testing")); n < 100_000 {
					t.Errorf("%d pixels of the screen are lit", n)
				}
			}
		})
	}
}

// TestBootsInstaller has Debian's installer ask its first question on the screen, once started by a BIOS and once by UEFI.
func TestBootsInstaller(t *testing.T) {
	onDisc(t, "/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/initrd.gz", "debian-installer-12-netboot-amd64")
	for firmware, drive := range map[string]string{"bios": "ahci", "efi": "ide"} {
		t.Run(firmware, func(t *testing.T) {
			needMatrix(t)
			x := bootDisc(t, firmware, drive, func(f *machineFile) {
				f.set("memsize", "1536") // with less it talks of low memory first
				f.set("vmm.display", "vga")
			})
			x.grub("linux /linux vga=normal", "initrd /initrd.gz", "boot")
			cell := image.Pt(8, 16) // of a character on its frame buffer
			var img image.Image
			eventually(t, "the installer's first question on the screen", func() bool {
				time.Sleep(time.Second) // looking costs the guest time
				img = screenshot(t, "installer")
				_, title := findText(img, cell, "Select a language")
				_, choice := findText(img, cell, "Galician")
				return title && choice
			})
			grey, blue := share(img, color.RGBA{0xAA, 0xAA, 0xAA, 0xFF}), share(img, color.RGBA{0, 0, 0xAA, 0xFF})
			if grey < 70 || blue < 5 {
				t.Errorf("%d %% are the window's grey, %d %% the ground's blue", grey, blue)
			}
		})
	}
}

// bootloaderDisk makes the kit's disk one whose EFI system partition starts another program than GRUB: files of this host's and texts, by their names there.
func (f *machineFile) bootloaderDisk(t *testing.T, files, texts map[string]string) {
	t.Helper()
	f.bootDisk(t, "firmware")
	at := filepath.Join(f.dir, "disk.img") + "@@1M"
	tool := func(stdin string, args ...string) {
		t.Helper()
		c := exec.Command(args[0], args[1:]...)
		c.Stdin = strings.NewReader(stdin)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	tool("", "mdel", "-i", at, "::/EFI/BOOT/BOOTX64.EFI")
	for name, from := range files {
		tool("", "mcopy", "-i", at, from, "::"+name)
	}
	made := map[string]bool{"/EFI": true, "/EFI/BOOT": true}
	for name, text := range texts {
		for i := 1; i < len(name); i++ {
			if name[i] == '/' && !made[name[:i]] {
				made[name[:i]] = true
				tool("", "mmd", "-i", at, "::"+name[:i])
			}
		}
		tool(text, "mcopy", "-i", at, "-", "::"+name)
	}
}

const systemdBoot = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"

// systemdBoot has systemd-boot start the kit's kernel from an NVMe disk, with these words.
func (f *machineFile) systemdBoot(t *testing.T, words string) {
	t.Helper()
	onDisc(t, systemdBoot, "systemd-boot-efi")
	f.bootloaderDisk(t, map[string]string{"/EFI/BOOT/BOOTX64.EFI": systemdBoot}, map[string]string{
		"/loader/loader.conf":       "timeout 0\n",
		"/loader/entries/test.conf": "title test\nlinux /vmlinuz\ninitrd /initrd\noptions console=ttyS0 quiet panic=1 " + words + "\n",
	})
	f.addDiskOn("nvme", "disk.img")
}

// TestBootsSystemdBoot has systemd-boot start a kernel.
func TestBootsSystemdBoot(t *testing.T) {
	needMatrix(t)
	f := newFirmwareFile(t, "efi")
	f.systemdBoot(t, "vmm.tasks=firmware vmm.by=systemd-boot")
	g := f.start(t)
	g.expect("firmware efi$") // EFI's console may leave something before it
	g.finish()
}
