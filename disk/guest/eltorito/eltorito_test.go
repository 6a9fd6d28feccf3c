package eltorito

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// image is a CD-ROM with a catalogue of the given entries at sector 20.
func image(entries ...[]byte) []byte {
	b := make([]byte, 21*sectorSize)
	copy(b[recordAt:], "\x00CD001\x01EL TORITO SPECIFICATION")
	binary.LittleEndian.PutUint32(b[recordAt+0x47:], 20)
	for i, e := range entries {
		copy(b[20*sectorSize+i*entrySize:], e)
	}
	return b
}

func head(platform byte) []byte {
	e := make([]byte, entrySize)
	e[0], e[1], e[30], e[31] = validation, platform, 0x55, 0xaa
	return e
}

func TestPlatforms(t *testing.T) {
	boot, off := []byte{bootable}, []byte{0}
	last := func(platform, n byte) []byte { return []byte{lastSection, platform, n} }
	full := [][]byte{head(0), boot}
	for range entries - len(full) {
		full = append(full, []byte{section, platformEFI, 0xff, 0xff})
	}
	far := image(head(0), boot)
	binary.LittleEndian.PutUint32(far[recordAt+0x47:], 1<<32-1)
	for _, test := range []struct {
		name      string
		image     []byte
		bios, efi bool
	}{
		{"BIOS", image(head(0), boot), true, false},
		{"UEFI", image(head(0xef), boot), false, true},
		{"both", image(head(0), boot, last(0xef, 1), boot), true, true},
		{"two sections", image(head(0), off, []byte{section, 0, 1}, boot, last(0xef, 1), boot), true, true},
		{"nothing bootable", image(head(0), off, last(0xef, 1), off), false, false},
		{"behind the last section", image(head(0), boot, last(0, 0), last(0xef, 1), boot), true, false},
		{"no validation", image(boot, boot), false, false},
		{"more entries than there is room for", image(full...)[:21*sectorSize], true, false},
		{"catalogue beyond the end", far, false, false},
		{"no record", make([]byte, 21*sectorSize), false, false},
		{"too short", make([]byte, 100), false, false},
		{"empty", nil, false, false},
	} {
		bios, efi, err := Platforms(bytes.NewReader(test.image), int64(len(test.image)))
		if err != nil || bios != test.bios || efi != test.efi {
			t.Errorf("%s: BIOS %v, UEFI %v, error %v", test.name, bios, efi, err)
		}
	}
	if _, _, err := Platforms(bytes.NewReader(nil), 1<<20); err == nil {
		t.Error("an image that cannot be read has no error")
	}
}
