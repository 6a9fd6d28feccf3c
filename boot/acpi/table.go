package acpi

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/vmm/memory"
)

// Identity of the tables. Windows ties itself to it: it stays as it is.
const (
	oemID           = "SHRVMM"
	oemTableID      = "VMMBOARD"
	oemRevision     = 1
	creatorID       = "VMM "
	creatorRevision = 1
)

const (
	headerSize  = 36
	offLength   = 4
	offChecksum = 9
)

// Table is one table, with zeroes where pointers and checksums go.
type Table struct {
	Name string // its signature
	Data []byte
	// Sums are the checksums to compute once the pointers stand, in order.
	Sums []Sum
	// Align is what the table's address must be a multiple of.
	Align uint64
}

// Sum is a byte at offset At that makes the table's first Len bytes add up to zero.
type Sum struct{ At, Len int }

// Pointer is a field of one table that holds the address of another.
type Pointer struct {
	In, To int // indices into Set.Tables
	At     int // offset of the field
	Size   int // bytes, 4 or 8
}

// Set is the tables of a board. The first is the root pointer.
type Set struct {
	Tables   []Table
	Pointers []Pointer
	External []External
}

// External is a field that holds an address which only firmware can tell: that of a file of its configuration device, plus Offset.
type External struct {
	In, At, Size int // as in a Pointer
	File         string
	Offset       uint32
}

// newTable returns a table with the common header; body follows it.
func newTable(signature string, revision uint8, body []byte) Table {
	le := binary.LittleEndian
	b := make([]byte, 0, headerSize+len(body))
	b = append(b, signature...)
	b = le.AppendUint32(b, uint32(headerSize+len(body)))
	b = append(b, revision, 0)
	b = append(b, oemID...)
	b = append(b, oemTableID...)
	b = le.AppendUint32(b, oemRevision)
	b = append(b, creatorID...)
	b = le.AppendUint32(b, creatorRevision)
	b = append(b, body...)
	return Table{Name: signature, Data: b, Sums: []Sum{{offChecksum, len(b)}}, Align: 16}
}

// add appends t and returns its index.
func (s *Set) add(t Table) int {
	s.Tables = append(s.Tables, t)
	return len(s.Tables) - 1
}

// point makes the field at offset at of table in hold the address of table to.
func (s *Set) point(in, at, size, to int) {
	s.Pointers = append(s.Pointers, Pointer{In: in, At: at, Size: size, To: to})
}

// Link lays the tables out from base on and returns them as they shall stand there, pointers and checksums filled in. The
// root pointer comes first.
func (s *Set) Link(base uint64) []byte {
	offsets := make([]uint64, len(s.Tables))
	end := uint64(0)
	for i, t := range s.Tables {
		offsets[i] = (base+end+t.Align-1)&^(t.Align-1) - base
		end = offsets[i] + uint64(len(t.Data))
	}
	b := make([]byte, end)
	for i, t := range s.Tables {
		copy(b[offsets[i]:], t.Data)
	}
	for _, p := range s.Pointers {
		field, target := b[offsets[p.In]+uint64(p.At):], base+offsets[p.To]
		if p.Size == 4 {
			binary.LittleEndian.PutUint32(field, uint32(target))
		} else {
			binary.LittleEndian.PutUint64(field, target)
		}
	}
	for i, t := range s.Tables {
		for _, sum := range t.Sums {
			var total byte
			for _, c := range b[offsets[i]:][:sum.Len] {
				total += c
			}
			b[offsets[i]+uint64(sum.At)] -= total
		}
	}
	return b
}

// Place writes the tables to [layout.ACPI], where a guest without firmware looks for them, and returns the root pointer's address.
func (s *Set) Place(mem *memory.Guest) (rsdp uint64, err error) {
	b := s.Link(layout.ACPI)
	if len(b) > layout.ACPISize {
		return 0, fmt.Errorf("acpi: the tables have %d bytes, %d are reserved for them", len(b), layout.ACPISize)
	}
	if err := mem.Write(layout.ACPI, b); err != nil {
		return 0, fmt.Errorf("acpi: write tables: %w", err)
	}
	return layout.ACPI, nil
}
