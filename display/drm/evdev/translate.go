package evdev

import (
	"encoding/binary"
	"time"

	"github.com/sharevm/vmm/display/input"
)

// Handler gets what a user does with one device. Its methods are called by one goroutine at a time, must not block, and must not call Devices.
type Handler interface {
	Key(c input.Code, down bool)
	Move(dx, dy int)       // in steps of the device, for a mouse pixels
	Place(x, y int32)      // on the screen, 0..input.AbsMax
	Wheel(right, away int) // notches
	Release()              // everything is up: the device is gone, or not ours any more
}

const (
	eventSize = 24   // of struct input_event where a long has 8 bytes
	maxKeys   = 64   // of one frame; more are passed on at once
	maxStep   = 4096 // of one axis in one frame
)

// translator makes calls of a Handler out of the events of a device.
type translator struct {
	kind kind
	caps capabilities
	out  Handler

	rest    []byte // of an event that is not complete
	dropped bool   // the kernel has lost events, up to the next report
	resync  bool   // the state of keys has to be asked for

	// What the frame holds so far.
	dx, dy, right, away int
	x, y                int32
	placed              bool
	keys                []keyEvent
	now                 time.Duration

	pad pad
}

type keyEvent struct {
	code uint16
	down bool
}

func newTranslator(k kind, c capabilities, out Handler) *translator {
	return &translator{kind: k, caps: c, out: out, x: c.x.min, y: c.y.min, keys: make([]keyEvent, 0, maxKeys)}
}

// feed takes bytes as they were read. It says whether the state of all keys has to be given to sync, since events were lost.
func (t *translator) feed(p []byte) (lost bool) {
	le := binary.LittleEndian
	if len(t.rest) > 0 {
		p = append(t.rest, p...)
	}
	for ; len(p) >= eventSize; p = p[eventSize:] {
		t.now = time.Duration(int64(le.Uint64(p))%(1<<32))*time.Second + time.Duration(int64(le.Uint64(p[8:]))%1_000_000)*time.Microsecond
		t.event(le.Uint16(p[16:]), le.Uint16(p[18:]), int32(le.Uint32(p[20:])))
	}
	t.rest = append(t.rest[:0:0], p...)
	lost, t.resync = t.resync, false
	return lost
}

func (t *translator) event(typ, code uint16, value int32) {
	switch {
	case typ == evSyn && code == synDropped:
		t.dropped = true
	case typ == evSyn && code == synReport:
		if t.dropped {
			t.dropped, t.resync = false, true
			t.forget()
			return
		}
		t.frame()
	case t.dropped:
	case typ == evKey && value != 2: // repeats are the guest's matter
		if len(t.keys) == maxKeys {
			t.frame()
		}
		t.keys = append(t.keys, keyEvent{code, value != 0})
	case typ == evRel && code == relX:
		t.dx = clamp(t.dx + clamp(int(value)))
	case typ == evRel && code == relY:
		t.dy = clamp(t.dy + clamp(int(value)))
	case typ == evRel && code == relHWheel:
		t.right = clamp(t.right + clamp(int(value)))
	case typ == evRel && code == relWheel:
		t.away = clamp(t.away + clamp(int(value)))
	case typ == evAbs && code == absX:
		t.x, t.placed = value, true
	case typ == evAbs && code == absY:
		t.y, t.placed = value, true
	}
}

func clamp(v int) int { return min(max(v, -maxStep), maxStep) }

// forget drops what the frame holds.
func (t *translator) forget() {
	t.dx, t.dy, t.right, t.away, t.placed, t.keys = 0, 0, 0, 0, false, t.keys[:0]
	t.pad.fingers, t.pad.touching = 0, false
}

// frame passes on what belongs together: first where the pointer is, then what is pressed there.
func (t *translator) frame() {
	if t.kind == touchpad {
		t.touch()
	} else if t.placed && t.kind == tablet {
		t.out.Place(t.caps.x.scale(t.x), t.caps.y.scale(t.y))
	}
	if t.dx != 0 || t.dy != 0 {
		t.out.Move(t.dx, t.dy)
	}
	for _, k := range t.keys {
		t.key(k.code, k.down)
	}
	if t.right != 0 || t.away != 0 {
		t.out.Wheel(t.right, t.away)
	}
	t.dx, t.dy, t.right, t.away, t.placed, t.keys = 0, 0, 0, 0, false, t.keys[:0]
}

// key passes on a key or button by what it means on this kind of device.
func (t *translator) key(code uint16, down bool) {
	switch {
	case t.kind == touchpad && code == btnLeft:
		t.pad.press(t.out, down)
		return
	case t.kind == tablet && code == btnTouch:
		code = uint16(input.ButtonLeft)
	case t.kind == tablet && code == btnStylus:
		code = uint16(input.ButtonRight)
	case t.kind == tablet && code == btnStylus2:
		code = uint16(input.ButtonMiddle)
	}
	if c := input.Code(code); c.Known() {
		t.out.Key(c, down)
	}
}

// sync passes on how all keys are, after events were lost.
func (t *translator) sync(state []byte) {
	for code := range int(input.MaxCode) + 1 {
		if has(t.caps.keys, code) {
			t.key(uint16(code), has(state, code))
		}
	}
}
