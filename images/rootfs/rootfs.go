// Package rootfs makes the disks of test guests and of the demo machine: raw images of ext4 file systems, written by mkfs.ext4 -d, which
// needs no root and no mount. What turns them into VMDK or VHD is package disk's business.
package rootfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sharevm/vmm/images/initramfs"
	"github.com/sharevm/vmm/images/userland"
)

// Config says what a file system holds.
type Config struct {
	Size  int64  // of the image in bytes
	Label string // of the file system, at most 16 bytes; may be empty
	Files []initramfs.File
	Dirs  []string // empty folders
}

// minSize is what an ext4 file system with a journal needs, in bytes.
const minSize = 8 << 20

// Linux is the Config of a root disk that boots by package guest: the init program at the path init of the host, and a userland.
func Linux(init string, bb userland.BusyBox, size int64) Config {
	return Config{
		Size:  size,
		Label: "vmm-root",
		Files: append(bb.Files(),
			initramfs.File{Name: "sbin/init", Mode: 0o755, Path: init},
			initramfs.File{Name: "bin/selfcheck", Link: "../sbin/init"},
			initramfs.File{Name: "etc/passwd", Data: []byte("root:x:0:0:root:/root:/bin/sh\n")},
			initramfs.File{Name: "etc/group", Data: []byte("root:x:0:\n")},
			initramfs.File{Name: "etc/hosts", Data: []byte("127.0.0.1 localhost vmm\n")},
		),
		Dirs: []string{"dev", "proc", "sys", "run", "tmp", "root", "data", "mnt"},
	}
}

// Data is the Config of an empty data disk.
func Data(size int64) Config { return Config{Size: size, Label: "vmm-data"} }

// Build writes the image to path, which appears there when it is complete. The file is sparse.
func Build(ctx context.Context, path string, c Config) error {
	if c.Size < minSize || c.Size%4096 != 0 {
		return fmt.Errorf("building %s: a size of %d bytes; at least %d and a multiple of 4096 are needed", path, c.Size, minSize)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(path), "tmp-")
	if err != nil {
		return fmt.Errorf("building %s: %w", path, err)
	}
	defer os.RemoveAll(tmp)
	tree := filepath.Join(tmp, "tree")
	if err := stage(tree, c); err != nil {
		return fmt.Errorf("building %s: %w", path, err)
	}
	image := filepath.Join(tmp, "image")
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(c.Size), f.Close())
	}
	if err != nil {
		return fmt.Errorf("building %s: %w", path, err)
	}
	if err := mkfs(ctx, image, tree, c.Label); err != nil {
		return fmt.Errorf("building %s: %w", path, err)
	}
	return os.Rename(image, path)
}

// mkfs makes the file system. Debian keeps the tool in a folder that is not on everybody's PATH.
func mkfs(ctx context.Context, image, tree, label string) error {
	const tool = "mkfs.ext4"
	bin, err := exec.LookPath(tool)
	if err != nil {
		bin, err = exec.LookPath(filepath.Join("/usr/sbin", tool))
	}
	if err != nil {
		return fmt.Errorf("%s is missing: install the Debian package e2fsprogs", tool)
	}
	cmd := exec.CommandContext(ctx, bin, "-q", "-F", "-L", label, "-E", "root_owner=0:0,lazy_itable_init=0", "-d", tree, image)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", tool, err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// stage lays out the files as a folder. The names are confined to it.
func stage(tree string, c Config) error {
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, d := range c.Dirs {
		if err := root.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	for _, f := range c.Files {
		f.Name = strings.TrimPrefix(f.Name, "/")
		if err := root.MkdirAll(filepath.Dir(f.Name), 0o755); err != nil {
			return err
		}
		if f.Link != "" {
			if err := root.Symlink(f.Link, f.Name); err != nil {
				return err
			}
			continue
		}
		data, perm, err := f.Content()
		if err != nil {
			return err
		}
		if err := root.WriteFile(f.Name, data, os.FileMode(perm)); err != nil {
			return err
		}
		if err := root.Chmod(f.Name, os.FileMode(perm)); err != nil { // whatever the umask
			return err
		}
	}
	return nil
}
