// Package setup holds what every first process of a guest has to do before its real work: mount the kernel's file systems,
// load the modules of the initramfs, wait for a device, change to the real root, and switch the machine off.
package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Mount is one mount(2).
type Mount struct {
	Source, Target, Type string
	Flags                uintptr
	Data                 string
}

// Do makes the mount point and mounts.
func (m Mount) Do() error {
	if err := os.MkdirAll(m.Target, 0o755); err != nil {
		return fmt.Errorf("making the mount point %s: %w", m.Target, err)
	}
	if err := unix.Mount(m.Source, m.Target, m.Type, m.Flags, m.Data); err != nil {
		return fmt.Errorf("mounting %s (%s) on %s: %w", m.Source, m.Type, m.Target, err)
	}
	return nil
}

// KernelFS mounts proc, sysfs and devtmpfs below root.
func KernelFS(root string) error {
	for _, m := range []Mount{
		{"proc", "proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"sysfs", "sys", "sysfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"devtmpfs", "dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"},
	} {
		m.Target = filepath.Join(root, m.Target)
		if err := m.Do(); err != nil && !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	return nil
}

// LoadModules loads the modules that the file order in dir names, one file name a line, from top to bottom. A module that is already there
// is no error, nor is one for which the machine has nothing (efivarfs without EFI).
func LoadModules(dir string) error {
	order, err := os.ReadFile(filepath.Join(dir, "order"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("loading kernel modules: %w", err)
	}
	for name := range strings.FieldsSeq(string(order)) {
		if err := loadModule(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func loadModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("loading kernel module: %w", err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("loading kernel module %s: %w", filepath.Base(file), err)
	}
	return nil
}

// WaitFor blocks until a path exists in a folder that the kernel fills, such as /dev, for at most limit. It does not poll.
func WaitFor(path string, limit time.Duration) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", path, err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(path), unix.IN_CREATE); err != nil {
		return fmt.Errorf("waiting for %s: %w", path, err)
	}
	if err := events.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return fmt.Errorf("waiting for %s: %w", path, err)
	}
	buf := make([]byte, 64*(unix.SizeofInotifyEvent+unix.NAME_MAX+1))
	for {
		if _, err := os.Lstat(path); err == nil {
			return nil
		}
		if _, err := events.Read(buf); err != nil {
			return fmt.Errorf("waiting for %s: %w", path, err)
		}
	}
}

// SwitchRoot makes root, a mount point, the root of the whole machine. Moving it over the initramfs, rather than only changing into it,
// lets later processes use pivot_root and mount namespaces.
func SwitchRoot(root string) error {
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("entering the new root: %w", err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("moving the new root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("entering the new root: %w", err)
	}
	return os.Chdir("/")
}

// StopAll ends all other processes, by their own doing if they take no longer than wait. It is for the first process alone.
func StopAll(wait time.Duration) {
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGCONT} { // a shell heeds the second, a stopped job the third
		_ = unix.Kill(-1, sig)
	}
	deadline := time.Now().Add(wait)
	for time.Now().Before(deadline) {
		switch pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); {
		case errors.Is(err, unix.ECHILD):
			return
		case pid == 0:
			time.Sleep(time.Millisecond)
		}
	}
	_ = unix.Kill(-1, unix.SIGKILL)
}

// PowerOff writes everything to disk and switches the machine off. It returns only when that fails.
func PowerOff() error {
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
