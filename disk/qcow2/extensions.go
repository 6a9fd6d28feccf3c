package qcow2

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/disk"
)

// Types of header extensions. Others are left where they are.
const (
	extensionEnd     = 0
	extensionBacking = 0xe2792aca
	extensionNames   = 0x6803f857
	extensionBitmaps = 0x23852875
)

// maxBitmaps is qemu's own limit.
const maxBitmaps = 65535

// bitmapsExtension says where the directory of the dirty bitmaps is.
type bitmapsExtension struct {
	count     int64
	directory int64 // place
	bytes     int64
}

// extensions calls fn with each extension in p, the part of the first cluster before the parent's name, from at on. It returns the place of
// one that does not fit, or -1.
func extensions(p []byte, at int64, fn func(kind uint32, at int64, data []byte)) int64 {
	for at+8 <= int64(len(p)) {
		kind, n := binary.BigEndian.Uint32(p[at:]), int64(binary.BigEndian.Uint32(p[at+4:]))
		if kind == extensionEnd {
			return -1
		}
		if n > int64(len(p))-at-8 {
			return at
		}
		fn(kind, at, p[at+8:at+8+n])
		at += 8 + (n+7)/8*8
	}
	return -1
}

// appendExtension appends an extension to a header whose length is a multiple of 8.
func appendExtension(p []byte, kind uint32, data []byte) []byte {
	p = binary.BigEndian.AppendUint32(p, kind)
	p = binary.BigEndian.AppendUint32(p, uint32(len(data)))
	p = append(p, data...)
	return append(p, make([]byte, -len(p)&7)...)
}

func (h *header) parseExtensions(name string, p []byte) (err error) {
	broken := extensions(p, h.length, func(kind uint32, at int64, data []byte) {
		switch kind {
		case extensionBacking:
			h.backingType = string(data)
		case extensionBitmaps:
			if h.autoclear&autoclearBitmaps == 0 {
				return // they are out of date, and nobody's
			}
			if len(data) < 24 {
				err = disk.Corrupt(name, at, "a bitmaps extension of %d bytes", len(data))
				return
			}
			h.bitmaps = bitmapsExtension{
				count:     int64(binary.BigEndian.Uint32(data)),
				bytes:     int64(binary.BigEndian.Uint64(data[8:])),
				directory: int64(binary.BigEndian.Uint64(data[16:])),
			}
			if h.bitmaps.count > maxBitmaps {
				err = disk.Corrupt(name, at, "%d bitmaps are more than any disk has", h.bitmaps.count)
			}
		}
	})
	if broken >= 0 {
		return disk.Corrupt(name, broken, "a header extension does not fit in front of the parent's name or the first cluster's end")
	}
	return err
}

// featureName returns what the header's table of names calls a feature bit, and the bit.
func featureName(p []byte, headerLength int64, kind byte, bit int) string {
	name := fmt.Sprintf("bit %d", bit)
	extensions(p, headerLength, func(ext uint32, _ int64, data []byte) {
		if ext != extensionNames {
			return
		}
		for ; len(data) >= 48; data = data[48:] {
			if data[0] == kind && int(data[1]) == bit {
				text, _, _ := bytes.Cut(data[2:48], []byte{0})
				name = fmt.Sprintf("bit %d (%q)", bit, text)
			}
		}
	})
	return name
}
