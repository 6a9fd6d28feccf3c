package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/images/initramfs"
	"github.com/sharevm/vmm/internal/debian"
)

// cacheModules are what a file system with a page cache of its own needs of the nested host's kernel, which comes from Debian's generic package.
var cacheModules = []string{"loop", "ext4", "crc32c_generic"}

const modulesDir = "modules"

// writeModules stores the kernel modules of cacheModules in dir, in the order in which they are to be loaded.
func writeModules(kernel debian.Kernel, dir string) error {
	mods, err := initramfs.Modules(kernel.ModulesDir, cacheModules...)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i, m := range mods {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d-%s.ko", i, m.Name)), m.Data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// cacheDisk is a file system whose files are in the page cache, or not: what lies below is a loop device on a file in the nested host's memory, the fastest
// disk that there is.
type cacheDisk struct{ image, dir, device string }

func newCacheDisk(modules string) (_ *cacheDisk, err error) {
	list, err := filepath.Glob(filepath.Join(modules, "*.ko"))
	if err != nil {
		return nil, err
	}
	for _, path := range list {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := unix.InitModule(b, ""); err != nil && err != unix.EEXIST {
			return nil, fmt.Errorf("load %s: %w", path, err)
		}
	}
	d := &cacheDisk{}
	if d.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return nil, err
	}
	d.image = filepath.Join("/dev/shm", filepath.Base(d.dir)+".img")
	const size = 8 << 30 // of which what is written takes memory
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(d.image, size); err != nil {
		return nil, err
	}
	if _, err := output("mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", d.image); err != nil {
		return nil, err
	}
	if d.device, err = output("losetup", "-f", "--show", d.image); err != nil {
		return nil, err
	}
	if err := unix.Mount(d.device, d.dir, "ext4", 0, ""); err != nil {
		return nil, fmt.Errorf("mount %s: %w", d.device, err)
	}
	return d, nil
}

// close gives the memory back.
func (d *cacheDisk) close() {
	_ = unix.Unmount(d.dir, 0)
	_, _ = output("losetup", "-d", d.device)
	_ = os.Remove(d.image)
	_ = os.Remove(d.dir)
}

// drop takes the files out of the page cache: what is read of them next comes from the disk. Programs stay there.
func drop(paths []string) error {
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		err = errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
		if err != nil {
			return fmt.Errorf("drop %s from the page cache: %w", path, err)
		}
	}
	return nil
}

// output is what a command prints, on one line.
func output(name string, args ...string) (string, error) {
	c := exec.Command(name, args...)
	var complaints strings.Builder
	c.Stderr = &complaints
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, firstLine(complaints.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
