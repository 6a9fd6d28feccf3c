package main

import (
	"encoding/binary"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sharevm/vmm/images/guest/setup"
	"golang.org/x/sys/unix"
)

// ending is locked, for ever, by whatever ends the machine first.
var ending sync.Mutex

// watchSignals obeys the signals by which BusyBox's halt, poweroff and reboot talk to the first process, and Ctrl-Alt-Del.
func watchSignals() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTERM, unix.SIGINT)
	go func() {
		switch <-signals {
		case unix.SIGUSR1, unix.SIGUSR2:
			end(unix.LINUX_REBOOT_CMD_POWER_OFF)
		default:
			end(unix.LINUX_REBOOT_CMD_RESTART)
		}
	}()
}

// watchPowerButtons powers off when an input device named after a power button reports its key.
func watchPowerButtons() {
	names, err := filepath.Glob("/sys/class/input/event*/device/name")
	if err != nil {
		return
	}
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil || !strings.Contains(string(b), "Power Button") {
			continue
		}
		event := filepath.Base(filepath.Dir(filepath.Dir(n)))
		if f, err := os.Open(filepath.Join("/dev/input", event)); err == nil {
			go watchPowerButton(f)
		}
	}
}

// The parts of struct input_event (linux/input.h) that matter: a time of 16 bytes, then type, code and value.
const (
	eventLen   = 24
	eventKey   = 1
	keyPower   = 116
	keyPressed = 1
)

func watchPowerButton(f *os.File) {
	defer f.Close()
	b := make([]byte, eventLen)
	for {
		if n, err := f.Read(b); err != nil || n != eventLen {
			return
		}
		kind, code, value := binary.NativeEndian.Uint16(b[16:]), binary.NativeEndian.Uint16(b[18:]), binary.NativeEndian.Uint32(b[20:])
		if kind == eventKey && code == keyPower && value == keyPressed {
			end(unix.LINUX_REBOOT_CMD_POWER_OFF)
		}
	}
}

// stopWait is how long processes may take to end by themselves.
const stopWait = 2 * time.Second

// end stops everything, writes all data to the disks, and powers off or restarts. It is for any goroutine, and does not return.
func end(how int) {
	ending.Lock()
	if how == unix.LINUX_REBOOT_CMD_RESTART {
		say("restarting")
	} else {
		say("powering off")
	}
	stopAll()
	leaveDisks()
	say("%v", unix.Reboot(how))
	select {}
}

// stopAll ends all other processes: by their own doing if they are quick.
func stopAll() {
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGCONT} { // a shell heeds the second, a stopped job the third
		_ = unix.Kill(-1, sig)
	}
	deadline := time.Now().Add(stopWait)
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

// leaveDisks leaves clean file systems behind.
func leaveDisks() {
	unix.Sync()
	if err := unix.Unmount("/data", 0); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		say("unmounting /data: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil && !errors.Is(err, unix.EINVAL) {
		say("making the root disk read-only: %v", err)
	}
	unix.Sync()
}

// powerOff ends the machine after a command, or because it cannot go on.
func powerOff() error {
	ending.Lock()
	leaveDisks()
	return setup.PowerOff()
}
