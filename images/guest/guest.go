// Package guest builds the small Linux machine that guest tests, benchmarks and the demo boot: a Debian kernel, an initramfs with our own
// init (images/guest/init), and, by package rootfs, a disk.
//
// What the init does is said by the kernel's command line; everything after "--" there is a command for it:
//
//	-- CMD ARGS...                  run a command of the initramfs, report its exit status, power off; without one, power off at once
//	root=/dev/vda [ro] -- ...       continue with /sbin/init of that disk, which runs the command, or a shell on the console
//
// Lines that a host may wait for start with "vmm-guest: ", such as "vmm-guest: init after 1.23 s" and "vmm-guest: exit status 0". The command
// selfcheck of a root disk that package rootfs or the demo makes tests disks and network, in lines that start with "self-check: ".
package guest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/sharevm/vmm/images/initramfs"
	"github.com/sharevm/vmm/internal/debian"
)

// Modules are what a machine of virtio devices needs to reach its root disk, network and console, to notice its power button, and to give memory back.
var Modules = []string{"virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "virtio_console", "ext4", "button", "evdev", "virtio_balloon"}

// BuildInit compiles the init program to the file out. It needs the Go toolchain and has to be called from within the project.
func BuildInit(ctx context.Context, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "github.com/sharevm/vmm/images/guest/init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building the guest's init: %w\n%s", err, said.Bytes())
	}
	return nil
}

// Initramfs writes an uncompressed initramfs for kernel k: the init at the path init of the host, the named modules with what they need
// (nil stands for Modules), and files.
func Initramfs(w io.Writer, k debian.Kernel, init string, modules []string, files ...initramfs.File) error {
	if modules == nil {
		modules = Modules
	}
	mods, err := initramfs.Modules(k.ModulesDir, modules...)
	if err != nil {
		return err
	}
	return initramfs.Build(w, initramfs.Config{Init: init, Modules: mods, Files: files})
}
