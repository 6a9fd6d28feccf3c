package input

// Type is the kind of an event; the numbers are Linux's EV_*.
type Type uint16

// The types. A [Sink] gets no EV_SYN: the end of a frame is one.
const (
	TypeKey Type = 1 // keys and buttons; the value is 1 for down and 0 for up
	TypeRel Type = 2 // motion and wheels; the value is a distance
	TypeAbs Type = 3 // a position, 0..AbsMax
)

// Code is what an event is about; the numbers are Linux's KEY_*, BTN_*, REL_* and ABS_*, by the event's type.
type Code uint16

// MaxCode is Linux's KEY_MAX: no key or button has a higher code.
const MaxCode Code = 0x2ff

// Codes of TypeRel.
const (
	RelX      Code = 0
	RelY      Code = 1
	RelHWheel Code = 6 // notches, positive to the right
	RelWheel  Code = 8 // notches, positive away from the user
)

// Codes of TypeAbs.
const (
	AbsX Code = 0
	AbsY Code = 1
)

// AbsMax is the position of the right or lower edge.
const AbsMax = 0x7fff

// Event is something that the user did.
type Event struct {
	Type  Type
	Code  Code
	Value int32
}

// Known says whether c is a key or button that devices know of.
func (c Code) Known() bool { return c.IsButton() || c <= MaxCode && byCode[c] != nil }

// IsButton says whether c is a pointer's button.
func (c Code) IsButton() bool { return c >= ButtonLeft && c <= ButtonBack }

// Keys returns the codes of all keys, in ascending order; no buttons.
func Keys() []Code {
	codes := make([]Code, len(keys))
	for i := range keys {
		codes[i] = keys[i].code
	}
	return codes
}

// Buttons returns the codes of all buttons, in ascending order.
func Buttons() []Code {
	return []Code{ButtonLeft, ButtonRight, ButtonMiddle, ButtonSide, ButtonExtra, ButtonForward, ButtonBack}
}

// LEDs are the lights of a keyboard, a set.
type LEDs uint8

// The lights. Their bits are 1 << Linux's LED_*.
const (
	LEDNum LEDs = 1 << iota
	LEDCaps
	LEDScroll
)
