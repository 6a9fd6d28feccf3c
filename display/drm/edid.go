package drm

import (
	"bytes"
	"strings"

	"github.com/sharevm/vmm/display"
)

// edidLabel is the name of a monitor by its EDID (VESA E-EDID release A2, sections 3.4 and 3.10.3): its maker's three letters and the name that it shows people. It is "" for
// what is no EDID.
func edidLabel(b []byte) string {
	if len(b) < display.EDIDSize || !bytes.Equal(b[:8], []byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0}) {
		return ""
	}
	id := uint(b[8])<<8 | uint(b[9])
	maker := make([]byte, 0, 3)
	for shift := 10; shift >= 0; shift -= 5 {
		c := id >> shift & 31
		if c < 1 || c > 26 {
			return ""
		}
		maker = append(maker, byte('A'+c-1))
	}
	label := string(maker)
	const descriptors, size, nameTag = 54, 18, 0xfc
	for at := descriptors; at < display.EDIDSize-2; at += size {
		d := b[at : at+size]
		if d[0] != 0 || d[1] != 0 || d[3] != nameTag {
			continue
		}
		name, _, _ := bytes.Cut(d[5:], []byte{'\n'})
		printable := strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return -1
			}
			return r
		}, string(name))
		return label + " " + strings.TrimSpace(printable)
	}
	return label
}
