package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sharevm/vmm/images/guest/setup"
	"golang.org/x/sys/unix"
)

// Layout of a swap area's first page (linux/swap.h).
const (
	swapPage      = 4096
	swapVersion   = 1024
	swapLast      = 1028
	swapSignature = swapPage - 10
	signatureLen  = 10
)

// hibernate (DISK) writes the machine's memory to a disk and powers off; the same task of a later start goes on from what lies there, and never returns.
func hibernate(disk string) error {
	disk, err := awaitDisk(disk)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	page := make([]byte, swapPage)
	if _, err := f.ReadAt(page, 0); err != nil {
		return err
	}
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		return err
	}
	if bytes.HasPrefix(page[swapSignature:], []byte("S1SUSPEND")) {
		say("resuming")
		return errors.Join(errors.New("the kernel did not take back its memory"),
			os.WriteFile("/sys/power/resume", fmt.Appendf(nil, "%d:%d", unix.Major(s.Rdev), unix.Minor(s.Rdev)), 0))
	}
	size, err := f.Seek(0, 2)
	if err != nil {
		return err
	}
	clear(page)
	binary.LittleEndian.PutUint32(page[swapVersion:], 1)
	binary.LittleEndian.PutUint32(page[swapLast:], uint32(size/swapPage-1))
	copy(page[swapSignature:], "SWAPSPACE2")
	if _, err := f.WriteAt(page, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := swapOn(disk); err != nil {
		return err
	}
	modes, err := os.ReadFile("/sys/power/disk")
	if err != nil {
		return err
	}
	say("hibernating by %s", bytes.TrimSpace(modes))
	before, kept := time.Now(), "kept in memory"
	if err := os.WriteFile("/sys/power/state", []byte("disk"), 0); err != nil {
		return err
	}
	say("awake from disk after %d s, %s", int(time.Since(before).Round(0).Seconds()), kept)
	return setup.WaitFor(disk, time.Second)
}
