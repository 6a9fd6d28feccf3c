package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

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

// logTime writes a line to the kernel's log, and returns the time that the kernel gives it.
func logTime() (time.Duration, error) {
	f, err := os.OpenFile("/dev/kmsg", os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return 0, err
	}
	const mark = "testguest: what is the time?"
	if _, err := f.WriteString("<7>" + mark + "\n"); err != nil {
		return 0, err
	}
	record := make([]byte, 8<<10) // the kernel's limit is lower
	for {
		n, err := f.Read(record)
		if err != nil {
			return 0, fmt.Errorf("reading a line of the kernel's log: %w", err)
		}
		// PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT (Documentation/ABI/testing/dev-kmsg)
		head, text, _ := strings.Cut(string(record[:n]), ";")
		if !strings.Contains(text, mark) {
			continue
		}
		fields := strings.Split(head, ",")
		if len(fields) < 3 {
			return 0, fmt.Errorf("a line of the kernel's log begins with %q", head)
		}
		us, err := strconv.ParseUint(fields[2], 10, 64)
		return time.Duration(min(us, math.MaxInt64/1000)) * time.Microsecond, err
	}
}
