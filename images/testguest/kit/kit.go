// Package kit makes the files that a test machine boots from: Debian's cloud kernel, packed and unpacked, an initramfs whose
// first process is testguest, and for the PC board the same with Debian's generic kernel, which has the drivers of PCs.
package kit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/sharevm/vmm/images/bootdisk"
	"github.com/sharevm/vmm/images/debiandisk"
	"github.com/sharevm/vmm/images/initramfs"
	"github.com/sharevm/vmm/internal/debian"
	"github.com/sharevm/vmm/internal/filecopy"
)

// Names of the files in a kit's folder.
const (
	Vmlinux = "vmlinux" // ELF, started by PVH
	Vmlinuz = "vmlinuz" // bzImage
	Initrd  = "initrd"
	// PCVmlinux and PCInitrd are what the PC board boots: the generic kernel, with the drivers of foreign hardware.
	PCVmlinux = "vmlinux-pc"
	PCInitrd  = "initrd-pc"

	BootDisk = "boot.img" // PC disk of BootDiskSize bytes that BIOS and UEFI boot: GRUB, the generic kernel and PCInitrd

	// Disc is what BIOS and UEFI boot from a CD-ROM drive: GRUB's rescue tools, and other people's programs that it starts, as far as this host has them.
	Disc = "rescue.iso"

	// Shim and SignedGRUB are what Debian starts a kernel by where Secure Boot is on; Microsoft has signed the one, Debian the other and the kernel on BootDisk.
	Shim       = "shimx64.efi"
	SignedGRUB = "grubx64.efi"

	Root = "root.ext4" // file system of RootSize bytes with testguest as /init

	// DebianVMDK and DebianVHDX are one disk with a real Debian. They are missing where the kit was made without being root.
	DebianVMDK = "debian.vmdk"
	DebianVHDX = "debian.vhdx"
)

// discFiles are the programs on the disc, by their names there.
var discFiles = map[string]string{
	"memtest.bin": "/boot/memtest86+x64.bin", "memtest.efi": "/boot/memtest86+x64.efi",
	"linux": installer + "/linux", "initrd.gz": installer + "/initrd.gz",
}

// installer is Debian's, as its package debian-installer-12-netboot-amd64 has it.
const installer = "/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64"

// BootDiskSize is the size of the disk that firmware boots, in bytes.
const BootDiskSize = 48 << 20

// RootSize is the size of the root file system in bytes.
const RootSize = 48 << 20

// modules are what the tasks of testguest need of the kernel. crc32c_generic is what ext4 asks for by algorithm, not by name.
var modules = []string{"virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng", "virtio_balloon", "button", "evdev", "crc32c_generic", "ext4"}

// pcModules are what the generic kernel needs for the devices of the PC board, beside modules.
var pcModules = []string{
	"ata_piix", "ahci", "nvme", "mptsas", "mptspi", "vmw_pvscsi", "sd_mod", "sr_mod", "sg",
	"e1000", "e1000e", "vmxnet3",
	"efivarfs", "psmouse", "tpm_crb", "bochs", "virtio_gpu", "virtio_input",
	"snd_hda_codec_generic", "snd_hda_intel",
}

// Make fills dir. It compiles testguest with the go command of the PATH, from the module in the current folder.
func Make(ctx context.Context, dir string, progress debian.Progress) error {
	store, err := debian.Open("", progress)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	init := filepath.Join(dir, "init")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", init, "github.com/sharevm/vmm/images/testguest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("compile the test guest: %w\n%s", err, out)
	}
	for _, k := range []struct {
		flavour                  debian.Flavour
		vmlinux, vmlinuz, initrd string // names; "" makes none
		modules                  []string
	}{
		{debian.Cloud, Vmlinux, Vmlinuz, Initrd, modules},
		{debian.Generic, PCVmlinux, "", PCInitrd, append(slices.Clone(modules), pcModules...)},
	} {
		kernel, err := store.Kernel(ctx, k.flavour)
		if err != nil {
			return err
		}
		for _, f := range []struct{ from, to string }{{kernel.Vmlinux, k.vmlinux}, {kernel.Vmlinuz, k.vmlinuz}} {
			if f.to == "" {
				continue
			}
			if err := filecopy.Copy(f.from, filepath.Join(dir, f.to)); err != nil {
				return err
			}
		}
		mods, err := initramfs.Modules(kernel.ModulesDir, k.modules...)
		if err != nil {
			return err
		}
		if err := writeInitrd(filepath.Join(dir, k.initrd), initramfs.Config{Init: init, Modules: mods}); err != nil {
			return err
		}
	}
	generic, err := store.Kernel(ctx, debian.Generic)
	if err != nil {
		return err
	}
	disk := bootdisk.Config{Kernel: generic.Vmlinuz, Initrd: filepath.Join(dir, PCInitrd), Cmdline: "console=ttyS0 quiet panic=1 vmm.tasks=info", Size: BootDiskSize}
	if err := bootdisk.Build(ctx, filepath.Join(dir, BootDisk), disk); err != nil {
		return err
	}
	if err := bootdisk.BuildDisc(ctx, filepath.Join(dir, Disc), discFiles); err != nil {
		return err
	}
	for _, f := range []struct{ pkg, from, to string }{
		{"shim-signed", "usr/lib/shim/shimx64.efi.signed", Shim},
		{"grub-efi-amd64-signed", "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", SignedGRUB},
	} {
		tree, err := store.Package(ctx, f.pkg)
		if err != nil {
			return err
		}
		if err := filecopy.Copy(filepath.Join(tree, f.from), filepath.Join(dir, f.to)); err != nil {
			return err
		}
	}
	if err := linkDebian(ctx, dir, progress); err != nil {
		return err
	}
	return makeRoot(ctx, dir, init)
}

// linkDebian makes the cached disk with Debian known in the kit.
func linkDebian(ctx context.Context, dir string, progress debian.Progress) error {
	disk, err := debiandisk.Make(ctx, progress)
	if errors.Is(err, debiandisk.ErrRoot) {
		return nil
	}
	if err != nil {
		return err
	}
	for name, target := range map[string]string{DebianVMDK: disk.VMDK, DebianVHDX: disk.VHDX} {
		link := filepath.Join(dir, name)
		_ = os.Remove(link)
		if err := os.Symlink(target, link); err != nil {
			return err
		}
	}
	return nil
}

// makeRoot makes the root file system with mkfs.ext4, which fills it without being root.
func makeRoot(ctx context.Context, dir, init string) error {
	tree, err := os.MkdirTemp(dir, "tree")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	for _, d := range []string{"dev", "proc", "sys", "root", "tmp"} {
		if err := os.Mkdir(filepath.Join(tree, d), 0o755); err != nil {
			return err
		}
	}
	if err := filecopy.Copy(init, filepath.Join(tree, "init")); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(tree, "init"), 0o755); err != nil {
		return err
	}
	image := filepath.Join(dir, Root)
	_ = os.Remove(image)
	c := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-d", tree, "-E", "root_owner=0:0", image, fmt.Sprintf("%dk", RootSize>>10))
	// Debian keeps it outside a plain user's PATH.
	c.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("make the test guest's root file system (mkfs.ext4 comes with e2fsprogs): %w\n%s", err, out)
	}
	return nil
}

func writeInitrd(path string, c initramfs.Config) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := initramfs.Build(f, c); err != nil {
		return err
	}
	return f.Close()
}
