package evdev

import "github.com/sharevm/vmm/display/input"

// Types and codes of events beyond those of package input (include/uapi/linux/input-event-codes.h).
const (
	evSyn = 0
	evKey = 1
	evRel = 2
	evAbs = 3
	evLED = 0x11

	synReport  = 0
	synDropped = 3

	relX, relY, relHWheel, relWheel = 0, 1, 6, 8

	absX, absY = 0, 1

	btnLeft       = 0x110
	btnGamepad    = 0x130 // and 0x120 and 0x13f: joysticks and gamepads
	btnJoystick   = 0x120
	btnToolPen    = 0x140
	btnToolFinger = 0x145
	btnToolQuint  = 0x148
	btnTouch      = 0x14a
	btnStylus     = 0x14b
	btnStylus2    = 0x14c
	btnToolDouble = 0x14d
	btnToolTriple = 0x14e
	btnToolQuad   = 0x14f

	propDirect = 1 // INPUT_PROP_DIRECT: what is touched is the screen itself

	keyBytes = (int(input.MaxCode) + 1 + 7) / 8
)

// axis is the range of an absolute axis (struct input_absinfo).
type axis struct{ min, max int32 }

// span is how many steps the axis has, at least 1.
func (a axis) span() int64 { return max(int64(a.max)-int64(a.min)+1, 1) }

// scale is a place on the axis within 0..input.AbsMax.
func (a axis) scale(v int32) int32 {
	at := min(max(int64(v), int64(a.min)), int64(a.max)) - int64(a.min)
	return int32(min(max(at, 0)*(input.AbsMax+1)/a.span(), input.AbsMax))
}

// capabilities are what a device says of itself: sets of codes, a bit each.
type capabilities struct {
	keys, rel, abs, props []byte
	x, y                  axis
}

func has(set []byte, bit int) bool { return bit/8 < len(set) && set[bit/8]>>(bit%8)&1 != 0 }

// kind is what a device is taken for.
type kind uint8

const (
	other    kind = iota // not ours
	keyboard             // and whatever else has keys or buttons alone
	mouse                // relative motion; it may have keys as well
	touchpad             // a place on it is none on the screen
	tablet               // a place on it is one on the screen
)

func (k kind) String() string {
	return [...]string{"other", "keyboard", "mouse", "touchpad", "tablet"}[k]
}

// classify says what a device is.
func (c *capabilities) classify() kind {
	direct, range2 := has(c.props, propDirect), c.x.max > c.x.min && c.y.max > c.y.min
	switch {
	case has(c.rel, relX) && has(c.rel, relY):
		return mouse
	case has(c.abs, absX) && has(c.abs, absY) && range2:
		switch {
		case has(c.keys, btnToolFinger) && !direct && !has(c.keys, btnToolPen):
			return touchpad
		case has(c.keys, btnJoystick) || has(c.keys, btnGamepad):
			return other
		case has(c.keys, btnTouch) || has(c.keys, btnLeft) || direct:
			return tablet
		}
	case c.types():
		return keyboard
	}
	return other
}

// types says whether there is a key that is a guest's, and not the host's switch alone.
func (c *capabilities) types() bool {
	for _, k := range input.Keys() {
		if has(c.keys, int(k)) && k != input.KeyPower && k != input.KeySleep && k != input.KeyWakeUp {
			return true
		}
	}
	return false
}
