package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sharevm/vmm/images/bootdisk"
	"github.com/sharevm/vmm/images/guest"
	"github.com/sharevm/vmm/images/rootfs"
	"github.com/sharevm/vmm/internal/debian"
	"github.com/sharevm/vmm/internal/filecopy"
)

// The files of the folder with the two machines of a session: one that is started by its kernel, and one that boots by its firmware.
const (
	quickVMX    = "quick.vmx"
	pcVMX       = "pc.vmx"
	quickRoot   = "quick.vmdk"
	pcBoot      = "pc.vmdk"
	pcRoot      = "pc.vhd"
	screenGuest = "initrd-screen"
)

// bootDiskSize is that of the PC's first disk in bytes: GRUB, a kernel and its initramfs.
const bootDiskSize = 96 << 20

// screenModules are what a guest with a screen needs of Debian's generic kernel, on either board.
var screenModules = append(slices.Clone(guest.Modules), "virtio_gpu", "virtio_input", "bochs", "ahci", "sd_mod", "e1000e", "psmouse", "crc32c_generic")

// screenCmdline has the guest's shell on the screen.
const screenCmdline = "console=ttyS0 console=tty0 quiet panic=1 net.ifnames=0 root="

const quickText = `.encoding = "UTF-8"
# The machine in front: its kernel is started straight away, and all its devices are virtio.
config.version = "8"
virtualHW.version = "19"
displayName = "quick"
guestOS = "debian12-64"
memsize = "256"

scsi0.present = "TRUE"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "` + quickRoot + `"
ethernet0.present = "TRUE"
ethernet0.connectionType = "nat"

vmm.kernel = "` + kernelName + `"
vmm.initrd = "` + screenGuest + `"
vmm.cmdline = "` + screenCmdline + `/dev/vda"
vmm.display = "virtio"
vmm.overlay = "disposable"
`

const pcText = `.encoding = "UTF-8"
# The machine behind: a PC with BIOS, that GRUB boots from its first SATA disk.
config.version = "8"
virtualHW.version = "19"
displayName = "pc"
guestOS = "debian12-64"
memsize = "256"

sata0.present = "TRUE"
sata0:0.present = "TRUE"
sata0:0.fileName = "` + pcBoot + `"
vmm.sata0:1.present = "TRUE"
vmm.sata0:1.fileName = "` + pcRoot + `"
ethernet0.present = "TRUE"
ethernet0.virtualDev = "e1000e"
ethernet0.connectionType = "nat"
`

// sessionProducts are the files of the two machines.
func sessionProducts(ctx context.Context, init string) ([]product, error) {
	i, err := ingredientsOf(ctx, debian.Generic, init)
	if err != nil {
		return nil, err
	}
	kernel := i.kernel
	initrd := func(path string) error { return writeInitrd(path, kernel, init, screenModules) }
	made := []string{kernel.Vmlinux, strings.Join(screenModules, " "), i.program}
	all := []product{
		{kernelName, []string{kernel.Vmlinux}, func(_ context.Context, path string) error { return filecopy.Copy(kernel.Vmlinux, path) }},
		{screenGuest, made, func(_ context.Context, path string) error { return initrd(path) }},
		{pcBoot, append(slices.Clone(made), screenCmdline), func(ctx context.Context, path string) error {
			ram := path + ".initrd"
			defer os.Remove(ram)
			if err := initrd(ram); err != nil {
				return err
			}
			return makeBootDisk(ctx, path, bootdisk.Config{Kernel: kernel.Vmlinuz, Initrd: ram, Cmdline: screenCmdline + "/dev/sdb", Size: bootDiskSize})
		}},
	}
	for _, m := range []struct{ name, disk, welcome string }{
		{"quick", quickRoot, "The machine in front: its kernel was started straight away. What it writes is forgotten."},
		{"pc", pcRoot, "The machine behind: a PC with BIOS and GRUB, which has booted in the background."},
	} {
		root := root(filepath.Join(i.busybox, "bin", "busybox"), init, m.name, m.welcome+"\n\nF4 turns to the other machine.\n\n")
		all = append(all, product{m.disk, []string{i.busybox, recipe(root), i.program}, func(ctx context.Context, path string) error {
			return makeRoot(ctx, path, root)
		}})
	}
	for name, text := range map[string]string{quickVMX: quickText, pcVMX: pcText} {
		all = append(all, product{name, []string{text}, func(_ context.Context, path string) error { return os.WriteFile(path, []byte(text), 0o644) }})
	}
	return all, nil
}

// makeRoot makes a root disk with BusyBox's commands.
func makeRoot(ctx context.Context, path string, root rootfs.Config) error {
	var err error
	if root.Files, err = withApplets(ctx, slices.Clone(root.Files)); err != nil {
		return err
	}
	return makeDisk(ctx, path, root)
}

// makeBootDisk makes a disk that boots by firmware, in the format of the path's extension.
func makeBootDisk(ctx context.Context, path string, c bootdisk.Config) error {
	flat := path + ".raw"
	defer os.Remove(flat)
	if err := bootdisk.Build(ctx, flat, c); err != nil {
		return err
	}
	return convert(flat, path)
}
