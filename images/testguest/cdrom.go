package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Requests and answers of Linux's CD-ROM drivers (include/uapi/linux/cdrom.h).
const (
	cdromEject       = 0x5309
	cdromCloseTray   = 0x5319
	cdromDriveStatus = 0x5326

	noDisc, trayOpen, discOK = 1, 2, 4
)

// openCDROM opens a drive whether it holds a disc or not.
func openCDROM(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

func cdromRequest(f *os.File, request uintptr) (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, 0x7fffffff) // CDSL_CURRENT
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// readDisc (DEVICE) prints the hash of a disc, then ejects it and pulls it back in.
func readDisc(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return err
	}
	say("disc %s %d %x", path, n, h.Sum(nil))
	if err := f.Close(); err != nil { // an open disc is locked
		return err
	}
	if f, err = openCDROM(path); err != nil {
		return err
	}
	defer f.Close()
	for _, step := range []struct {
		request uintptr
		want    int
	}{{0, discOK}, {cdromEject, trayOpen}, {cdromCloseTray, discOK}} {
		if step.request != 0 {
			if _, err := cdromRequest(f, step.request); err != nil {
				return fmt.Errorf("request %#x: %w", step.request, err)
			}
		}
		if got, err := cdromRequest(f, cdromDriveStatus); err != nil || got != step.want {
			return fmt.Errorf("after request %#x the drive's state is %d, %v; want %d", step.request, got, err, step.want)
		}
	}
	return nil
}

// emptyDrive (DEVICE) checks that a drive says that it is empty.
func emptyDrive(path string) error {
	f, err := openCDROM(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if got, err := cdromRequest(f, cdromDriveStatus); err != nil || got != noDisc && got != trayOpen {
		return fmt.Errorf("the drive's state is %d, %v", got, err)
	}
	if f, err := os.Open(path); err == nil {
		f.Close()
		return fmt.Errorf("an empty drive can be opened for reading")
	}
	return nil
}
