package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/sharevm/vmm/images/guest/setup"
	"golang.org/x/sys/unix"
)

// kernelSaid (WORD) prints what the kernel has logged with that word in it, one "kernel LINE" each.
func kernelSaid(word string) error {
	buf := make([]byte, 1<<20)
	n, err := unix.Klogctl(3, buf) // SYSLOG_ACTION_READ_ALL
	if err != nil {
		return fmt.Errorf("read the kernel's log: %w", err)
	}
	for _, l := range strings.Split(string(buf[:n]), "\n") {
		if strings.Contains(l, word) {
			say("kernel %s", l)
		}
	}
	return nil
}

// awaitDisk waits for a disk and returns its device node. Beside that itself it can be named as /dev/scsi-HOST.CHANNEL.TARGET.UNIT: the kernel looks
// at SCSI disks side by side, so that any of them may become /dev/sda.
func awaitDisk(path string) (string, error) {
	const limit = 30 * time.Second
	address, ok := strings.CutPrefix(path, "/dev/scsi-")
	if !ok {
		return path, setup.WaitFor(path, limit)
	}
	block := "/sys/bus/scsi/devices/" + strings.ReplaceAll(address, ".", ":") + "/block/*"
	for until := time.Now().Add(limit); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if found, _ := filepath.Glob(block); len(found) == 1 {
			node := "/dev/" + filepath.Base(found[0])
			return node, setup.WaitFor(node, limit)
		}
	}
	return "", fmt.Errorf("no disk %s", address)
}

// resets of ioctl SG_SCSI_RESET, with the flag that keeps the kernel from trying a stronger one.
const (
	sgReset      = 0x2284
	sgNoEscalate = 0x100
	resetPause   = 100 * time.Millisecond
)

// resetDisk (DEVICE:MIB:SEED) does what the disk task does while the disk, its target, the bus and the adapter are reset.
func resetDisk(args string) error {
	path, _, _ := strings.Cut(args, ":")
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var busy sync.WaitGroup
	var ended atomic.Bool
	var loaded error
	busy.Go(func() {
		defer ended.Store(true)
		loaded = verifyDisk(args)
	})
	done := 0
	for _, kind := range []struct {
		name  string
		value int32
	}{{"device", 1}, {"target", 4}, {"bus", 2}, {"host", 3}} {
		if ended.Load() {
			break
		}
		value := kind.value | sgNoEscalate
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), sgReset, uintptr(unsafe.Pointer(&value))); errno != 0 {
			say("reset %s: %v", kind.name, errno)
		} else {
			done++
		}
		time.Sleep(resetPause)
	}
	busy.Wait()
	say("resets %d", done)
	return loaded
}
