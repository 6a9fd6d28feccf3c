package main

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// warningLevel is that of a warning in the kernel's log; what is worse has lower ones.
const warningLevel = 4

// kernelWarnings prints what the kernel has logged as a warning or worse, as "kernel LEVEL TEXT".
func kernelWarnings(string) error {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/kmsg", Err: err}
	}
	defer unix.Close(fd)
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.Read(fd, buf) // one record: priority,sequence,time,flags;text
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EPIPE): // the log went round
			continue
		case err != nil:
			return err
		}
		head, text, _ := strings.Cut(string(buf[:n]), ";")
		priority, _, _ := strings.Cut(head, ",")
		text, _, _ = strings.Cut(text, "\n")
		if p, err := strconv.Atoi(priority); err == nil && p&7 <= warningLevel && p>>3 == 0 {
			say("kernel %d %s", p&7, text)
		}
	}
}
