package vmdk

import (
	"encoding/binary"
	"errors"

	"github.com/sharevm/vmm/disk"
)

// A streamOptimized extent is a sequence of records that start at sectors. A compressed grain starts with its first sector's number on the disk
// (8 bytes), the size of its data (4 bytes), and the data. Anything else starts with a marker sector: how many sectors follow (8
// bytes), four zeroes in place of the size, and its type (4 bytes).
const grainHeader = 12

// Types of marker.
const (
	markEnd    = 0
	markTable  = 1
	markGD     = 2
	markFooter = 3
)

// footerBytes is what a stream ends with: the footer's marker, the footer, the end marker.
const footerBytes = 3 * sectorSize

// marker returns a marker sector that announces bytes of what.
func marker(what uint32, bytes int64) []byte {
	p := make([]byte, sectorSize)
	binary.LittleEndian.PutUint64(p, uint64(sectors(bytes)))
	binary.LittleEndian.PutUint32(p[12:], what)
	return p
}

// sectors is how many sectors n bytes take.
func sectors(n int64) int64 { return (n + sectorSize - 1) / sectorSize }

// padded returns p with zeroes up to a whole number of sectors.
func padded(p []byte) []byte {
	return append(p, make([]byte, sectors(int64(len(p)))*sectorSize-int64(len(p)))...)
}

// tail returns the end of a stream with the given header, whose directory has its place.
func (h *header) tail() []byte {
	footer := *h
	footer.streamed, footer.unclean = false, false
	return append(append(marker(markFooter, sectorSize), footer.encode()...), marker(markEnd, 0)...)
}

// findFooter returns the header of a stream as its footer has it; h is what its first sector says. A stream without a sound footer is lost:
// its grains can only be found by reading all of it.
func findFooter(file disk.File, h *header, fileSize int64) (*header, error) {
	lost := func(err error) (*header, error) {
		if err != nil && !errors.Is(err, disk.ErrCorrupt) {
			return nil, err
		}
		l := *h
		l.lost = true
		return &l, nil
	}
	at := fileSize - footerBytes
	if at < sectorSize || fileSize%sectorSize != 0 {
		return lost(nil)
	}
	var p [footerBytes]byte
	if err := disk.ReadFull(file, p[:], at, "footer"); err != nil {
		return nil, err
	}
	if le := binary.LittleEndian; le.Uint64(p[:]) != 1 || le.Uint32(p[8:]) != 0 || le.Uint32(p[12:]) != markFooter {
		return lost(nil)
	}
	f, err := parseHeader(file.Name(), (*[sectorSize]byte)(p[sectorSize:]), fileSize)
	if err != nil {
		return lost(err)
	}
	if !f.compressed || f.streamed {
		return lost(nil)
	}
	f.descriptorOffset, f.descriptorSize = h.descriptorOffset, h.descriptorSize
	f.streamed, f.unclean, f.footerAt = true, h.unclean, at
	return f, nil
}
