package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What events hands back (Linux, include/uapi/linux/input.h).
const (
	inputEventSize = 24
	inputName      = 0x80ff4506 // EVIOCGNAME of 255 bytes
	keyEvent       = 1
	lastKey        = 88 // F12: its release ends the task
)

// showEvents (NAME:COUNT) waits for so many input devices whose names hold NAME, says what they are, and then each event as
// "event DEVICE TYPE CODE VALUE", DEVICE being the number in its order. It ends when F12 is let go.
func showEvents(args string) error {
	name, number, _ := strings.Cut(args, ":")
	count, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	devices, err := inputDevices(name, count)
	if err != nil {
		return err
	}
	type event struct {
		device     int
		kind, code uint16
		value      int32
		err        error
	}
	events := make(chan event)
	for i, d := range devices {
		go func() {
			b := make([]byte, inputEventSize)
			for {
				_, err := io.ReadFull(d, b)
				events <- event{
					device: i, err: err,
					kind: binary.LittleEndian.Uint16(b[16:]), code: binary.LittleEndian.Uint16(b[18:]), value: int32(binary.LittleEndian.Uint32(b[20:])),
				}
				if err != nil {
					return
				}
			}
		}()
	}
	say("waiting for events")
	for e := range events {
		if e.err != nil {
			return e.err
		}
		say("event %d %d %d %d", e.device, e.kind, e.code, e.value)
		if e.kind == keyEvent && e.code == lastKey && e.value == 0 {
			break
		}
	}
	return nil
}

// deviceTime is how long the kernel may take to find input devices.
const deviceTime = 20 * time.Second

// inputDevices opens the input devices whose names hold name, in order of these, once there are count of them.
func inputDevices(name string, count int) ([]*os.File, error) {
	for end := time.Now().Add(deviceTime); ; time.Sleep(20 * time.Millisecond) {
		paths, err := filepath.Glob("/dev/input/event*")
		if err != nil {
			return nil, err
		}
		found := map[string]*os.File{}
		var names []string
		for _, p := range paths {
			f, err := os.Open(p)
			if err != nil {
				return nil, err
			}
			var b [256]byte
			if err := ioctl(f, inputName, b[:]); err != nil {
				return nil, err
			}
			n := unix.ByteSliceToString(b[:])
			if !strings.Contains(n, name) {
				f.Close()
				continue
			}
			found[n+p] = f
			names = append(names, n+p)
		}
		if len(names) >= count {
			slices.Sort(names)
			var files []*os.File
			for i, n := range names {
				say("input device %d: %s", i, n)
				files = append(files, found[n])
			}
			return files, nil
		}
		for _, f := range found {
			f.Close()
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("%d of %d input devices named %q", len(names), count, name)
		}
	}
}
