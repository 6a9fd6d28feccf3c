package i8042

// Linux input event codes of the keys that this package treats apart from the tables.
const (
	keyF7, keyLeftCtrl, keyLeftAlt, keySysRq    = 65, 29, 56, 99
	keyRightCtrl, keyRightAlt, keyPause, keyMax = 97, 100, 119, 255
	keyLeftShift, keyRightShift                 = 42, 54
)

// Prefixes of scan codes.
const (
	prefixExtended = 0xE0
	prefixPause    = 0xE1
	prefixBreak    = 0xF0 // in sets 2 and 3
	breakBit       = 0x80 // in set 1
)

// extended marks codes in set1 that follow E0.
const extended = 0x100

// set1 has the set 1 code of each key. Event codes 1 to 83 and 86 to 88 are those codes.
var set1 = func() (t [keyMax + 1]uint16) {
	for code := uint16(1); code <= 83; code++ {
		t[code] = code
	}
	for code, v := range map[int]uint16{
		85: 0x76, 86: 0x56, 87: 0x57, 88: 0x58, // half/full width, 102nd key, F11, F12
		89: 0x73, 90: 0x78, 91: 0x77, 92: 0x79, 93: 0x70, 94: 0x7B, 95: 0x5C, // Japanese keys
		96: 0x11C, 97: 0x11D, 98: 0x135, 99: 0x137, 100: 0x138, // keypad Enter, right Ctrl, keypad /, SysRq, right Alt
		102: 0x147, 103: 0x148, 104: 0x149, 105: 0x14B, 106: 0x14D, // Home, Up, Page Up, Left, Right
		107: 0x14F, 108: 0x150, 109: 0x151, 110: 0x152, 111: 0x153, // End, Down, Page Down, Insert, Delete
		113: 0x120, 114: 0x12E, 115: 0x130, 116: 0x15E, 117: 0x59, // mute, volume down and up, power, keypad =
		121: 0x7E, 124: 0x7D, 125: 0x15B, 126: 0x15C, 127: 0x15D, 128: 0x168, // keypad comma, yen, left and right Meta, Menu, Stop
		140: 0x121, 142: 0x15F, 143: 0x163, 155: 0x16C, 156: 0x166, 157: 0x16B, // calculator, sleep, wake, mail, bookmarks, computer
		158: 0x16A, 159: 0x169, 163: 0x119, 164: 0x122, 165: 0x110, 166: 0x124, // back, forward, next, play, previous, stop
		172: 0x132, 173: 0x167, 217: 0x165, 226: 0x16D, // home page, refresh, search, media
		183: 0x64, 184: 0x65, 185: 0x66, 186: 0x67, 187: 0x68, 188: 0x69, 189: 0x6A, 190: 0x6B, 191: 0x6C, 192: 0x6D, 193: 0x6E, // F13 to F23
	} {
		t[code] = v
	}
	return t
}()

// set2 has the set 2 code that the controller translates to each set 1 code.
var set2 = [128]uint8{
	0x00, 0x76, 0x16, 0x1E, 0x26, 0x25, 0x2E, 0x36, 0x3D, 0x3E, 0x46, 0x45, 0x4E, 0x55, 0x66, 0x0D,
	0x15, 0x1D, 0x24, 0x2D, 0x2C, 0x35, 0x3C, 0x43, 0x44, 0x4D, 0x54, 0x5B, 0x5A, 0x14, 0x1C, 0x1B,
	0x23, 0x2B, 0x34, 0x33, 0x3B, 0x42, 0x4B, 0x4C, 0x52, 0x0E, 0x12, 0x5D, 0x1A, 0x22, 0x21, 0x2A,
	0x32, 0x31, 0x3A, 0x41, 0x49, 0x4A, 0x59, 0x7C, 0x11, 0x29, 0x58, 0x05, 0x06, 0x04, 0x0C, 0x03,
	0x0B, 0x02, 0x0A, 0x01, 0x09, 0x77, 0x7E, 0x6C, 0x75, 0x7D, 0x7B, 0x6B, 0x73, 0x74, 0x79, 0x69,
	0x72, 0x7A, 0x70, 0x71, 0x7F, 0x60, 0x61, 0x78, 0x07, 0x0F, 0x17, 0x1F, 0x27, 0x2F, 0x37, 0x3F,
	0x47, 0x4F, 0x56, 0x5E, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50, 0x57, 0x6F,
	0x13, 0x19, 0x39, 0x51, 0x53, 0x5C, 0x5F, 0x62, 0x63, 0x64, 0x65, 0x67, 0x68, 0x6A, 0x6D, 0x6E,
}

// Set 2 codes that no byte below 80h stands for.
const (
	set2F7      = 0x83
	set2AltSys  = 0x84 // SysRq with Alt
	set1F7      = 0x41
	set1AltSys  = 0x54
	untranslate = 0x80 // bytes from here on are the keyboard's own words, but for the two above
)

// translation is the controller's table from set 2 to set 1.
var translation = func() (t [256]uint8) {
	for i := range t {
		t[i] = uint8(i)
	}
	for one, two := range set2 {
		t[two] = uint8(one)
	}
	t[0] = 0xFF
	t[set2F7], t[set2AltSys] = set1F7, set1AltSys
	return t
}()

// set3 has the keys whose set 3 code is not their set 2 code without a prefix.
var set3 = map[uint16]uint8{
	1: 0x08, 59: 0x07, 60: 0x0F, 61: 0x17, 62: 0x1F, 63: 0x27, 64: 0x2F, keyF7: 0x37, 66: 0x3F, 67: 0x47, 68: 0x4F, 87: 0x56, 88: 0x5E, // Esc, F1 to F12
	keySysRq: 0x57, 70: 0x5F, keyPause: 0x62, // Print, Scroll Lock
	keyLeftCtrl: 0x11, 58: 0x14, keyLeftAlt: 0x19, keyRightAlt: 0x39, keyRightCtrl: 0x58, 86: 0x13, 43: 0x5C, // Caps Lock, 102nd key, backslash
	69: 0x76, 98: 0x77, 55: 0x7E, 74: 0x84, 78: 0x7C, 96: 0x79, // Num Lock, keypad / * - + Enter
	110: 0x67, 102: 0x6E, 104: 0x6F, 111: 0x64, 107: 0x65, 109: 0x6D, 103: 0x63, 105: 0x61, 108: 0x60, 106: 0x6A, // the block between
	125: 0x8B, 126: 0x8C, 127: 0x8D, // left and right Meta, Menu
}

// maxSequence is the longest sequence that a key sends.
const maxSequence = 8

// sequence appends to b what a key sends in a scan code set; nothing for a key that the keyboard does not have. ctrl, shift and alt say whether
// those are held.
func sequence(b []uint8, set uint8, code uint16, down, ctrl, shift, alt bool) []uint8 {
	if set == 3 {
		return sequence3(b, code, down)
	}
	one := set1[code&keyMax]
	switch {
	case code == keyPause && ctrl: // Break is sent whole when it is pressed
		if !down {
			return b
		}
		return plain(plain(b, set, 0x146, true), set, 0x146, false)
	case code == keyPause:
		if !down {
			return b
		}
		if set == 1 {
			return append(b, prefixPause, 0x1D, 0x45, prefixPause, 0x9D, 0xC5)
		}
		return append(b, prefixPause, 0x14, 0x77, prefixPause, prefixBreak, 0x14, prefixBreak, 0x77)
	case code == keySysRq && alt:
		return plain(b, set, set1AltSys, down)
	case code == keySysRq && !ctrl && !shift: // a left Shift that nobody pressed goes around it
		if down {
			return plain(plain(b, set, 0x12A, true), set, one, true)
		}
		return plain(plain(b, set, one, false), set, 0x12A, false)
	case one == 0:
		return b
	}
	return plain(b, set, one, down)
}

// plain appends one code in set 1 or 2.
func plain(b []uint8, set uint8, one uint16, down bool) []uint8 {
	if one&extended != 0 {
		b = append(b, prefixExtended)
	}
	code := uint8(one)
	if set == 1 {
		if !down {
			code |= breakBit
		}
		return append(b, code)
	}
	if !down {
		b = append(b, prefixBreak)
	}
	switch {
	case one == set1F7:
		return append(b, set2F7)
	case one == set1AltSys:
		return append(b, set2AltSys)
	}
	return append(b, set2[code])
}

func sequence3(b []uint8, code uint16, down bool) []uint8 {
	v, ok := set3[code]
	if one := set1[code&keyMax]; !ok && one != 0 && one&extended == 0 {
		v, ok = set2[one], true
	}
	switch {
	case !ok:
		return b
	case down:
		return append(b, v)
	}
	return append(b, prefixBreak, v)
}
