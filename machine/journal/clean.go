package journal

import (
	"unicode"
	"unicode/utf8"
)

// cleaner takes out of a text what a terminal would obey: control characters, and escape sequences whole (ECMA-48, sections 5.3 to 5.6). A text may come in pieces.
type cleaner struct {
	state   state
	partial [utf8.UTFMax]byte // of a character that the last piece cut
	n       int
}

type state uint8

const (
	plain   state = iota
	escape        // after ESC
	control       // in a control sequence: parameters, then a final byte from 0x40
	str           // in a control string, which ends with BEL or ESC \
	strEnd        // after ESC in it
)

// reset begins a new line: a sequence does not go beyond one.
func (c *cleaner) reset() { c.state, c.n = plain, 0 }

// append appends to dst what is left of p.
func (c *cleaner) append(dst, p []byte) []byte {
	for _, b := range p {
		switch c.state {
		case escape:
			switch b {
			case '[':
				c.state = control
			case ']', 'P', 'X', '^', '_':
				c.state = str
			default:
				if b >= 0x30 || b < 0x20 { // others are intermediate bytes
					c.state = plain
				}
			}
		case control:
			if b >= 0x40 && b <= 0x7e {
				c.state = plain
			}
		case str:
			switch b {
			case 7:
				c.state = plain
			case 0x1b:
				c.state = strEnd
			}
		case strEnd:
			c.state = str
			if b == '\\' {
				c.state = plain
			}
		default:
			dst = c.plain(dst, b)
		}
	}
	return dst
}

func (c *cleaner) plain(dst []byte, b byte) []byte {
	if c.n == 0 && b < utf8.RuneSelf {
		switch {
		case b == 0x1b:
			c.state = escape
		case b == '\t' || b >= ' ' && b != 0x7f:
			dst = append(dst, b)
		}
		return dst
	}
	if c.n > 0 && utf8.RuneStart(b) { // the one before was cut short
		c.n = 0
		return c.plain(utf8.AppendRune(dst, utf8.RuneError), b)
	}
	c.partial[c.n] = b
	c.n++
	if p := c.partial[:c.n]; utf8.FullRune(p) {
		r, _ := utf8.DecodeRune(p)
		c.n = 0
		if r == utf8.RuneError || unicode.IsPrint(r) {
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}
