package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

func fieldsOf(b []byte) []string { return strings.Fields(string(b)) }

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
			unix.Kill(unix.Getpid(), unix.SIGTERM)
		}
	}
}
