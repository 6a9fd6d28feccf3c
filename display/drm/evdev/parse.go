package evdev

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode"
)

// absInfoSize is the size of struct input_absinfo: value, minimum, maximum, fuzz, flat, resolution.
const absInfoSize = 24

func parseAxis(p []byte) axis {
	return axis{int32(binary.LittleEndian.Uint32(p[4:])), int32(binary.LittleEndian.Uint32(p[8:]))}
}

// oneLine is a device's name, fit for a log.
func oneLine(raw []byte) string {
	raw, _, _ = bytes.Cut(raw, []byte{0})
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(raw))
}
