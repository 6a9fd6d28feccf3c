package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/images/guest/setup"
	"golang.org/x/sys/unix"
)

// The user that browser and compositor run as.
const (
	uid  = 1000
	home = "/home/user"
)

// rootDevice is the disk with the EROFS.
const rootDevice = "/dev/vda"

// deviceWait is how long the kernel may take to find a device.
const deviceWait = 30 * time.Second

// boot makes a system out of the initramfs and runs its only session. It returns when it cannot go on, and why.
func boot() error {
	if err := setup.KernelFS("/"); err != nil {
		return err
	}
	mark(setup.MarkInit)
	err := setup.LoadModules("/modules")
	useConsole()
	if err != nil {
		return err
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	kiosk := config.ParseKiosk(string(cmdline))
	authorities, err := os.ReadFile("/" + config.KioskAuthorities)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := enterRoot(); err != nil {
		return err
	}
	mark(setup.MarkRoot)
	if err := furnish(); err != nil {
		return err
	}
	for _, s := range settings {
		// A kernel without one of them is no reason to show nothing: the small one has not what most of them forbid.
		if err := os.WriteFile("/proc/sys/"+s.name, []byte(s.value), 0o644); err != nil && !errors.Is(err, fs.ErrNotExist) {
			say("%v", err)
		}
	}
	setup.WatchPowerButtons(func() { powerOff() })
	go obeySignals()
	go func() {
		if network() {
			mark(setup.MarkNetwork)
		}
	}()
	go watchRestores()
	if err := writePolicy(kiosk, authorities); err != nil {
		return err
	}
	if err := seat(); err != nil {
		return err
	}
	say("devices are ready")
	return keepCompositor(kiosk, isVerbose(string(cmdline)))
}

// useConsole moves this program's output to the console whose driver has been loaded meanwhile: the kernel gave it the one that there was at the start, if any.
func useConsole() {
	fd, err := unix.Open("/dev/console", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // the one so far serves
	}
	for i := range 3 {
		_ = unix.Dup3(fd, i, 0)
	}
	_ = unix.Close(fd)
}

// enterRoot puts a layer in memory on top of the root disk, and changes into it.
func enterRoot() error {
	if err := setup.WaitFor(rootDevice, deviceWait); err != nil {
		return err
	}
	const disk, layer, root = "/disk", "/layer", "/newroot"
	for _, m := range []setup.Mount{
		{Source: rootDevice, Target: disk, Type: "erofs", Flags: unix.MS_RDONLY},
		{Source: "tmpfs", Target: layer, Type: "tmpfs", Data: "mode=0755,size=75%"},
	} {
		if err := m.Do(); err != nil {
			return err
		}
	}
	for _, dir := range []string{layer + "/upper", layer + "/work"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	m := setup.Mount{Source: "overlay", Target: root, Type: "overlay", Data: "lowerdir=" + disk + ",upperdir=" + layer + "/upper,workdir=" + layer + "/work"}
	if err := m.Do(); err != nil {
		return err
	}
	for _, dir := range []string{"/dev", "/proc", "/sys"} {
		if err := unix.Mount(dir, root+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("moving %s to the root: %w", dir, err)
		}
	}
	// Chromium's sandbox makes namespaces, which it may not in a mere chroot: the root has to be moved.
	return setup.SwitchRoot(root)
}

// furnish mounts and makes what programs expect.
func furnish() error {
	const quiet = unix.MS_NOSUID | unix.MS_NODEV
	for _, m := range []setup.Mount{
		{Source: "devpts", Target: "/dev/pts", Type: "devpts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Data: "mode=0620,ptmxmode=0666"},
		{Source: "tmpfs", Target: "/dev/shm", Type: "tmpfs", Flags: quiet, Data: "mode=1777"},
		{Source: "tmpfs", Target: "/run", Type: "tmpfs", Flags: quiet, Data: "mode=0755"},
		{Source: "tmpfs", Target: "/tmp", Type: "tmpfs", Flags: quiet, Data: "mode=1777"},
	} {
		if err := m.Do(); err != nil && !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	for _, dir := range []string{home, runtimeDir} {
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := os.Chown(dir, uid, uid); err != nil {
			return err
		}
	}
	if err := os.Mkdir("/tmp/.X11-unix", 0o777); err != nil {
		return err
	}
	if err := os.Chmod("/tmp/.X11-unix", 0o777|os.ModeSticky); err != nil {
		return err
	}
	if err := os.Symlink("/proc/self/fd", "/dev/fd"); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := renewIdentity(); err != nil {
		return err
	}
	return setup.Up("lo")
}

// settings are what the kernel is told, below /proc/sys.
var settings = []struct{ name, value string }{
	{"vm/overcommit_memory", "1"}, // V8 reserves more addresses than a small machine has memory
	{"kernel/kptr_restrict", "2"},
	{"kernel/dmesg_restrict", "1"},
	{"kernel/unprivileged_bpf_disabled", "1"},
	{"kernel/sysrq", "0"},
	{"kernel/yama/ptrace_scope", "1"},
	{"kernel/kexec_load_disabled", "1"},
	{"kernel/modules_disabled", "1"},
	{"net/core/bpf_jit_harden", "2"},
	{"fs/protected_fifos", "2"},
	{"fs/protected_regular", "2"},
}

// ending is locked, for ever, by whatever ends the machine first.
var ending sync.Mutex

// awaitEnding waits for ever if the machine is about to end.
func awaitEnding() {
	ending.Lock()
	defer ending.Unlock()
}

// stopWait is how long processes may take to end by themselves.
const stopWait = 2 * time.Second

// powerOff ends the machine. There is nothing to be saved. It is for any goroutine, and does not return.
func powerOff() {
	ending.Lock()
	say("powering off")
	setup.StopAll(stopWait)
	say("%v", setup.PowerOff())
	select {}
}

// obeySignals restarts the machine upon Ctrl-Alt-Del, by which the kernel says SIGINT, and powers it off upon SIGTERM.
func obeySignals() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT)
	if <-signals == unix.SIGTERM {
		powerOff()
	}
	ending.Lock()
	setup.StopAll(stopWait)
	say("%v", unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
}

// uptime is the seconds since the kernel started, as the kernel writes them.
func uptime() string {
	b, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return "?"
	}
	s, _, _ := strings.Cut(string(b), " ")
	return s
}

// mark puts a step on the machine's timeline. Elsewhere than on vmm the port leads nowhere.
func mark(step byte) {
	if err := setup.Mark(step); err != nil {
		say("%v", err) // without it whoever saves the machine waits until the picture has not changed for long
	}
}
