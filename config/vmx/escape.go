package vmx

import (
	"fmt"
	"strings"
)

// escape writes the characters that would end or confuse a quoted value as |XX. The text holds no NUL.
func escape(text string) string {
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ', c == '"', c == '#', c == '|', c == 0x7f:
			fmt.Fprintf(&b, "|%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// unescape reverses escape. A run of codes from 80 up is text in the file's character set. What is not an
// escape stays as it stands, and so does |00: no value holds a NUL.
func unescape(text string, cs charset) string {
	if !strings.Contains(text, "|") {
		return text
	}
	var b strings.Builder
	var high []byte
	flush := func() {
		if len(high) > 0 {
			b.WriteString(cs.decode(string(high)))
			high = high[:0]
		}
	}
	for i := 0; i < len(text); i++ {
		code, ok := escapeAt(text, i)
		switch {
		case !ok:
			flush()
			b.WriteByte(text[i])
			continue
		case code >= 0x80:
			high = append(high, code)
		default:
			flush()
			b.WriteByte(code)
		}
		i += 2
	}
	flush()
	return b.String()
}

func escapeAt(text string, i int) (code byte, ok bool) {
	if text[i] != '|' || i+2 >= len(text) {
		return 0, false
	}
	hi, lo := hexDigit(text[i+1]), hexDigit(text[i+2])
	if hi < 0 || lo < 0 || hi|lo == 0 {
		return 0, false
	}
	return byte(hi<<4 | lo), true
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
