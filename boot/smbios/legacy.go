package smbios

import "encoding/binary"

// The entry point of 2.x (section 5.2.1), which systems older than 3.0 of the specification look for.
const (
	legacySize  = 31
	legacyMinor = 8 // the last of 2.x
	offDMI      = 0x10
)

// LegacyEntry is the 32-bit entry point for structures that follow at no address yet: the address is zero, the checksums fit that.
func (t *Tables) LegacyEntry() []byte {
	b := make([]byte, legacySize)
	copy(b, "_SM_")
	copy(b[5:], []byte{legacySize, 2, legacyMinor})
	copy(b[offDMI:], "_DMI_")
	le := binary.LittleEndian
	count, longest := 0, 0
	for rest := t.Structures; len(rest) > 0; count++ {
		n := length(rest)
		longest, rest = max(longest, n), rest[n:]
	}
	le.PutUint16(b[8:], uint16(longest))
	le.PutUint16(b[offDMI+6:], uint16(len(t.Structures)))
	le.PutUint16(b[offDMI+12:], uint16(count))
	b[offDMI+14] = 2<<4 | legacyMinor
	b[offDMI+5] = -sum(b[offDMI:])
	b[4] = -sum(b)
	return b
}

// length is that of the first structure, its strings included: they end with two zeroes.
func length(b []byte) int {
	n := int(b[1])
	for b[n] != 0 || b[n+1] != 0 {
		n++
	}
	return n + 2
}

func sum(b []byte) (s byte) {
	for _, v := range b {
		s += v
	}
	return s
}
