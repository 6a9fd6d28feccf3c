package smbios

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/vmm/memory"
)

// Version of the specification that the structures follow.
const (
	major, minor = 3, 3
)

const (
	entrySize    = 24
	entryAlign   = 32 // distance of the structures from the entry point
	offChecksum  = 5
	offTableSize = 12
	offTable     = 16
)

// Tables is the entry point and the structures.
type Tables struct {
	Entry      [entrySize]byte // for structures that follow at no address yet: Address and checksum are zero
	Structures []byte
}

// Build makes the structures that c describes.
func Build(c *Config) (*Tables, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	t := &Tables{}
	for _, s := range structures(c) {
		t.Structures = append(t.Structures, s.bytes()...)
	}
	copy(t.Entry[:], "_SM3_")
	copy(t.Entry[6:], []byte{entrySize, major, minor, 0, 1}) // document revision, revision of the entry point
	binary.LittleEndian.PutUint32(t.Entry[offTableSize:], uint32(len(t.Structures)))
	return t, nil
}

// Link returns entry point and structures as they shall stand at base.
func (t *Tables) Link(base uint64) []byte {
	b := make([]byte, entryAlign, entryAlign+len(t.Structures))
	copy(b, t.Entry[:])
	binary.LittleEndian.PutUint64(b[offTable:], base+entryAlign)
	var sum byte
	for _, v := range b[:entrySize] {
		sum += v
	}
	b[offChecksum] -= sum
	return append(b, t.Structures...)
}

// Place writes the tables to [layout.SMBIOS], where a guest without firmware looks for them.
func (t *Tables) Place(mem *memory.Guest) error {
	b := t.Link(layout.SMBIOS)
	if len(b) > layout.SMBIOSSize {
		return fmt.Errorf("smbios: the structures have %d bytes, %d are reserved for them", len(b), layout.SMBIOSSize)
	}
	if err := mem.Write(layout.SMBIOS, b); err != nil {
		return fmt.Errorf("smbios: write structures: %w", err)
	}
	return nil
}
