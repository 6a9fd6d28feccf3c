package firmware

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unicode/utf16"
)

// The layout of a variable store: a firmware volume's header (UEFI Platform Initialization 1.7, volume 3, section 3.2.1), then the store's, then variables, as EDK II's
// MdeModulePkg/Include/Guid/VariableFormat.h has them with time based authentication.
const (
	volumeSignature = 40 // offset
	volumeLength    = 48 // offset of the header's length, 16 bits

	storeSize       = 16 // offset of the size of all, 32 bits
	storeState      = 20 // offset
	storeHeaderSize = 28
	storeReady      = 0xFE5A // formatted and healthy

	variableStart      = 0x55AA
	variableNameSize   = 36 // offset, 32 bits
	variableDataSize   = 40 // offset, 32 bits
	variableVendor     = 44 // offset
	variableHeaderSize = 60
	variableAlign      = 4

	// States of a variable: bits become 0 one after the other.
	variableAdded    = 0x3F
	variableReplaced = 0x3E // its successor is being written
)

// guid is in the order of bytes that EFI keeps it in.
type guid [16]byte

var (
	guidStore      = guid{0x78, 0x2C, 0xF3, 0xAA, 0x7B, 0x94, 0x9A, 0x43, 0xA1, 0x80, 0x2E, 0x14, 0x4E, 0xC3, 0x77, 0x92}
	guidGlobal     = guid{0x61, 0xDF, 0xE4, 0x8B, 0xCA, 0x93, 0xD2, 0x11, 0xAA, 0x0D, 0x00, 0xE0, 0x98, 0x03, 0x2B, 0x8C}
	guidSecureBoot = guid{0xC7, 0x0B, 0xA3, 0xF0, 0x08, 0xAF, 0x56, 0x45, 0x99, 0xC4, 0x00, 0x10, 0x09, 0xC9, 0x3A, 0x44}
)

// SecureBoot says whether firmware that finds these variables verifies the signatures of what it starts: it has a platform key, and is not told to leave it. What makes no sense does not.
func SecureBoot(variables []byte) bool {
	key, _ := variable(variables, guidGlobal, "PK")
	wanted, told := variable(variables, guidSecureBoot, "SecureBootEnable")
	return len(key) > 0 && (!told || len(wanted) == 1 && wanted[0] == 1)
}

// variable finds the value of a variable.
func variable(store []byte, vendor guid, name string) (value []byte, found bool) {
	le := binary.LittleEndian
	if len(store) < volumeLength+2 || string(store[volumeSignature:volumeSignature+4]) != "_FVH" {
		return nil, false
	}
	store = store[min(int(le.Uint16(store[volumeLength:])), len(store)):]
	if len(store) < storeHeaderSize || guid(store[:16]) != guidStore || le.Uint16(store[storeState:]) != storeReady {
		return nil, false
	}
	store = store[storeHeaderSize:max(storeHeaderSize, min(int(le.Uint32(store[storeSize:])), len(store)))]
	wanted := encodeName(name)
	for len(store) >= variableHeaderSize && le.Uint16(store) == variableStart {
		state, room := store[2], len(store)-variableHeaderSize
		nameSize, dataSize := int(le.Uint32(store[variableNameSize:])), int(le.Uint32(store[variableDataSize:]))
		if nameSize > room || dataSize > room-nameSize {
			return nil, false
		}
		at := variableHeaderSize + nameSize
		if (state == variableAdded || state == variableReplaced) && guid(store[variableVendor:variableHeaderSize]) == vendor && bytes.Equal(store[variableHeaderSize:at], wanted) {
			value, found = slices.Clone(store[at:at+dataSize]), true
			if state == variableAdded {
				return value, true
			}
		}
		store = store[min((at+dataSize+variableAlign-1)&^(variableAlign-1), len(store)):]
	}
	return value, found
}

// encodeName is a name as the store has it: UTF-16, with a zero.
func encodeName(name string) (b []byte) {
	for _, c := range append(utf16.Encode([]rune(name)), 0) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return b
}
