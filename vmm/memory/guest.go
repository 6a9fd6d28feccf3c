package memory

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrRange is wrapped by the error of every access that is not wholly inside guest RAM.
var ErrRange = errors.New("outside guest RAM")

// Region is a contiguous piece of guest RAM.
type Region struct {
	Base uint64 // guest-physical address of the first byte
	Host []byte // the same bytes in this process
	// FileOffset is where Host begins in the file behind the RAM.
	FileOffset int64
}

// Guest is the RAM of a virtual machine. It is shared with running vCPUs: any byte may change at any moment, so a structure
// that must be consistent is copied once and judged in the copy.
//
// The layout never changes after creation, hence all methods are safe for concurrent use.
type Guest struct {
	regions []Region // ascending, not adjacent
	size    uint64
	fd      int // memfd, or -1
	advice  int // of madvise(2), by which Discard works; 0 without
	// private says that RAM is a private copy of a file, whose pages come back where a copy is given up.
	private bool
}

// FromRegions returns a Guest over memory that the caller owns; for tests and for pieces of RAM with other origins.
func FromRegions(regions ...Region) (*Guest, error) {
	g := &Guest{fd: -1}
	var end uint64
	for i, r := range regions {
		last := r.Base + uint64(len(r.Host))
		if len(r.Host) == 0 || last < r.Base || (i > 0 && r.Base < end) {
			return nil, fmt.Errorf("memory: bad region %#x+%#x", r.Base, len(r.Host))
		}
		end = last
		g.size += uint64(len(r.Host))
		g.regions = append(g.regions, r)
	}
	return g, nil
}

// Size is the amount of RAM in bytes.
func (g *Guest) Size() uint64 { return g.size }

// Regions returns the pieces of RAM in ascending order. The caller must not change the slice.
func (g *Guest) Regions() []Region { return g.regions }

// Slice returns the n bytes of RAM at gpa, without copying. A range that leaves RAM, or that spans the PCI hole, is an error.
// A length of zero gives an empty slice where gpa is in RAM.
func (g *Guest) Slice(gpa, n uint64) ([]byte, error) {
	for i := range g.regions {
		r := &g.regions[i]
		size := uint64(len(r.Host))
		if off := gpa - r.Base; gpa >= r.Base && off < size {
			if n > size-off {
				break
			}
			return r.Host[off : off+n : off+n], nil
		}
	}
	return nil, &RangeError{gpa, n}
}

// Contains says whether all n bytes at gpa are RAM.
func (g *Guest) Contains(gpa, n uint64) bool {
	_, err := g.Slice(gpa, n)
	return err == nil
}

// Read copies len(p) bytes of RAM at gpa into p.
func (g *Guest) Read(gpa uint64, p []byte) error {
	s, err := g.Slice(gpa, uint64(len(p)))
	if err != nil {
		return err
	}
	copy(p, s)
	return nil
}

// Write copies p into RAM at gpa.
func (g *Guest) Write(gpa uint64, p []byte) error {
	s, err := g.Slice(gpa, uint64(len(p)))
	if err != nil {
		return err
	}
	copy(s, p)
	return nil
}

// PutUint32 stores v at gpa, little endian.
func (g *Guest) PutUint32(gpa uint64, v uint32) error {
	return g.Write(gpa, binary.LittleEndian.AppendUint32(nil, v))
}

// PutUint64 stores v at gpa, little endian.
func (g *Guest) PutUint64(gpa uint64, v uint64) error {
	return g.Write(gpa, binary.LittleEndian.AppendUint64(nil, v))
}

// RangeError is an access that is not wholly inside RAM. It wraps ErrRange.
type RangeError struct {
	GPA uint64
	Len uint64
}

// Error implements error.
func (e *RangeError) Error() string {
	return fmt.Sprintf("%#x+%#x is outside guest RAM", e.GPA, e.Len)
}

// Unwrap returns ErrRange.
func (e *RangeError) Unwrap() error { return ErrRange }
