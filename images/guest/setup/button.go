package setup

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
)

// WatchPowerButtons calls pressed whenever an input device named after a power button reports its key. It does not wait.
func WatchPowerButtons(pressed func()) {
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
			go watchPowerButton(f, pressed)
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

func watchPowerButton(f *os.File, pressed func()) {
	defer f.Close()
	b := make([]byte, eventLen)
	for {
		if n, err := f.Read(b); err != nil || n != eventLen {
			return
		}
		kind, code, value := binary.NativeEndian.Uint16(b[16:]), binary.NativeEndian.Uint16(b[18:]), binary.NativeEndian.Uint32(b[20:])
		if kind == eventKey && code == keyPower && value == keyPressed {
			pressed()
		}
	}
}
