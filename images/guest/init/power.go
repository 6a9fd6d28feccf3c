package main

import (
	"errors"
	"os"
	"os/signal"
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
	setup.StopAll(stopWait)
	leaveDisks()
	say("%v", unix.Reboot(how))
	select {}
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
