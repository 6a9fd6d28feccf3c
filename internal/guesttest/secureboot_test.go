package guesttest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/images/testguest/kit"
)

// TestSecureBoot has OVMF start from two disks: first one whose GRUB nobody has signed, then what Debian ships for Secure Boot: shim, which Microsoft has signed, its GRUB and
// the kernel, which finds Secure Boot on and locks itself down. Without Secure Boot the first one starts.
func TestSecureBoot(t *testing.T) {
	needMatrix(t)
	for name, secure := range map[string]string{"on": "TRUE", "off": "FALSE"} {
		t.Run(name, func(t *testing.T) {
			f := newFirmwareFile(t, "efi")
			f.set("uefi.secureBoot.enabled", secure)
			f.bootloaderDisk(t, map[string]string{
				"/EFI/BOOT/BOOTX64.EFI": filepath.Join(kitDir, kit.Shim),
				"/EFI/BOOT/grubx64.efi": filepath.Join(kitDir, kit.SignedGRUB),
			}, map[string]string{
				"/EFI/debian/grub.cfg": "linux /vmlinuz console=ttyS0 quiet panic=1 vmm.tasks=firmware,dmesg:ecure,dmesg:lock\ninitrd /initrd\nboot\n",
			})
			if err := os.Rename(filepath.Join(f.dir, "disk.img"), filepath.Join(f.dir, "signed.img")); err != nil {
				t.Fatal(err)
			}
			f.addDiskOn("nvme", "signed.img")
			f.bootDisk(t, "firmware")
			f.addDiskOn("ahci", "disk.img")
			f.set("bios.bootOrder", "sata0:0,nvme0:0")
			g := f.start(t)
			if name == "off" {
				g.expect("grub: on efi")
			}
			g.expect("firmware efi$") // GRUB may leave a carriage return before it
			if name == "on" {
				g.expect("^dmesg .*Secure boot enabled")
				g.expect("^dmesg .*locked down from EFI Secure Boot")
				if s := g.said("grub: on"); len(s) > 0 {
					t.Error("a GRUB was started that nobody has signed")
				}
			}
			g.finish()
		})
	}
}
