package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sharevm/vmm/images/guest/setup"
	"github.com/sharevm/vmm/images/nested/wire"
	"golang.org/x/sys/unix"
)

const (
	// RootTag is the 9p mount tag of the host's root folder.
	RootTag = "vmm.root"

	newRoot = "/newroot"

	// The host's root changes seldom, so the guest may keep what it has read; a shared folder is worked in from both sides, so there only
	// what a memory mapping needs is kept.
	rootOptions  = "trans=virtio,version=9p2000.L,msize=512000,cache=loose"
	shareOptions = "trans=virtio,version=9p2000.L,msize=512000,cache=mmap"
)

// fileSystems makes the root that the command sees and enters it: the host's own files below a layer of memory, or only the
// initramfs; in both the shared folders at their own paths.
func fileSystems(start wire.Start) error {
	root := "/"
	if !start.Isolated {
		root = newRoot
		if err := overlay(root); err != nil {
			return err
		}
		if err := setup.KernelFS(root); err != nil {
			return err
		}
	}
	for _, m := range []setup.Mount{
		{Source: "tmpfs", Target: "run", Type: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Data: "mode=0755"},
		{Source: "devpts", Target: "dev/pts", Type: "devpts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Data: "mode=0620,ptmxmode=0666"},
		{Source: "tmpfs", Target: "dev/shm", Type: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Data: "mode=1777"},
		{Source: "cgroup2", Target: "sys/fs/cgroup", Type: "cgroup2", Flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
		{Source: "debugfs", Target: "sys/kernel/debug", Type: "debugfs"},
	} {
		m.Target = filepath.Join(root, m.Target)
		if err := m.Do(); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		if err := os.Symlink(target, filepath.Join(root, "dev", name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := modules(root, start.Modules); err != nil {
		return err
	}
	for _, s := range start.Shares {
		m := setup.Mount{Source: s.Tag, Target: filepath.Join(root, s.Path), Type: "9p", Data: shareOptions}
		if err := m.Do(); err != nil {
			return err
		}
	}
	if err := readAhead(); err != nil {
		return err
	}
	if err := resolver(root); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("nested")); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	if root == "/" {
		return nil
	}
	return setup.SwitchRoot(root)
}

// readAhead has the kernel read files that are mapped into memory ahead. In its mode "mmap" 9p leaves that at nothing, and each page of a program, or of a guest's memory, costs
// a request of its own.
func readAhead() error {
	const most = "500" // KiB: what msize lets through
	all, err := filepath.Glob("/sys/class/bdi/9p-*/read_ahead_kb")
	if err != nil {
		return err
	}
	for _, name := range all {
		if err := os.WriteFile(name, []byte(most), 0o644); err != nil {
			return fmt.Errorf("how far to read ahead: %w", err)
		}
	}
	return nil
}

// overlay mounts the host's root with a layer of memory on top of it.
func overlay(root string) error {
	const lower, layer = "/lower", "/layer"
	for _, m := range []setup.Mount{
		{Source: RootTag, Target: lower, Type: "9p", Flags: unix.MS_RDONLY, Data: rootOptions},
		{Source: "tmpfs", Target: layer, Type: "tmpfs", Data: "mode=0755"},
	} {
		if err := m.Do(); err != nil {
			return err
		}
	}
	for _, d := range []string{"/upper", "/work"} {
		if err := os.Mkdir(layer+d, 0o755); err != nil {
			return err
		}
	}
	return setup.Mount{Source: "overlay", Target: root, Type: "overlay",
		Data: "lowerdir=" + lower + ",upperdir=" + layer + "/upper,workdir=" + layer + "/work"}.Do()
}

// modules shows the guest kernel's modules in the usual place. dir is their folder on the host.
func modules(root, dir string) error {
	if dir == "" || root == "/" {
		return nil
	}
	return setup.Mount{Source: filepath.Join(root, dir), Target: filepath.Join(root, "lib/modules", filepath.Base(dir)), Flags: unix.MS_BIND}.Do()
}

// resolver points the guest at the name server of QEMU's user network. On the host the file may be a link into a folder
// that the guest doesn't have, so it is replaced and not written through.
func resolver(root string) error {
	path := filepath.Join(root, "etc/resolv.conf")
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replacing %s: %w", path, err)
	}
	return os.WriteFile(path, []byte("nameserver "+nameserver+"\n"), 0o644)
}
