package vhd

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"
)

// Sizes and marks of the specification.
const (
	sectorSize   = 512
	footerSize   = 512
	headerSize   = 1024
	footerCookie = "conectix"
	headerCookie = "cxsparse"
	fileVersion  = 0x00010000
	noOffset     = ^uint64(0)
)

// Disk types of the footer.
const (
	typeFixed        = 2
	typeDynamic      = 3
	typeDifferencing = 4
)

// maxSize is the specification's limit of a dynamic disk: 2040 GiB.
const maxSize = 2040 << 30

// epoch is where the footer's time stamp counts from, in seconds.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// footer is the hard disk footer. The sector is kept as it was read, so that writing it back loses nothing.
type footer [footerSize]byte

func (f *footer) dataOffset() uint64  { return binary.BigEndian.Uint64(f[16:]) }
func (f *footer) stamp() uint32       { return binary.BigEndian.Uint32(f[24:]) }
func (f *footer) creator() string     { return string(f[28:32]) }
func (f *footer) currentSize() uint64 { return binary.BigEndian.Uint64(f[48:]) }
func (f *footer) diskType() uint32    { return binary.BigEndian.Uint32(f[60:]) }
func (f *footer) savedState() bool    { return f[84] != 0 }

func (f *footer) id() (id [16]byte) { return [16]byte(f[68:84]) }

// formatID returns a unique identifier in the usual notation.
func formatID(id []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
}

// geometrySize is the capacity that cylinders, heads and sectors per track come to, in bytes, or 0 when the geometry is the
// largest one, which stands for "see current size".
func (f *footer) geometrySize() int64 {
	c, h, s := int64(binary.BigEndian.Uint16(f[56:])), int64(f[58]), int64(f[59])
	if c == 0xffff && h == 16 && s == 255 {
		return 0
	}
	return c * h * s * sectorSize
}

// capacity is the disk's size in bytes. Virtual PC, Virtual Server and qemu's older mode give the guest what the geometry
// comes to, which is less than the current size by up to a cylinder; the partition table was made for that.
func (f *footer) capacity() uint64 {
	switch f.creator() {
	case "vpc ", "vs  ", "qemu":
		if g := uint64(f.geometrySize()); g > 0 && g < f.currentSize() {
			return g
		}
	}
	return f.currentSize()
}

// with returns a copy in which edit changed something.
func (f *footer) with(edit func(f *footer)) *footer {
	c := *f
	edit(&c)
	c.seal()
	return &c
}

// setSize makes the footer one of a disk of size bytes. The original size should stay, but libvhdi takes that for the present one.
func (f *footer) setSize(size int64) {
	binary.BigEndian.PutUint64(f[40:], uint64(size))
	binary.BigEndian.PutUint64(f[48:], uint64(size))
	// The largest geometry makes readers that go by geometry use the current size, which is exact.
	binary.BigEndian.PutUint16(f[56:], 0xffff)
	f[58], f[59] = 16, 255
}

// seal stores the checksum.
func (f *footer) seal() { binary.BigEndian.PutUint32(f[64:], checksum(f[:], 64)) }

// problem says why the sector is not a footer, or returns "".
func (f *footer) problem() string {
	switch {
	case string(f[:8]) != footerCookie:
		return `no "conectix" footer`
	case binary.BigEndian.Uint32(f[64:]) != checksum(f[:], 64):
		return fmt.Sprintf("footer checksum is %#08x, should be %#08x", binary.BigEndian.Uint32(f[64:]), checksum(f[:], 64))
	case binary.BigEndian.Uint32(f[12:])>>16 != fileVersion>>16:
		return fmt.Sprintf("unknown format version %#08x", binary.BigEndian.Uint32(f[12:]))
	}
	return ""
}

// checksum is the complement of the sum of all bytes but the four at skip, where it is stored.
func checksum(p []byte, skip int) uint32 {
	sum := uint32(0)
	for i, b := range p {
		if i < skip || i >= skip+4 {
			sum += uint32(b)
		}
	}
	return ^sum
}

// newFooter returns the footer of a new disk of size bytes.
func newFooter(size int64, diskType uint32) *footer {
	f := &footer{}
	copy(f[:], footerCookie)
	be := binary.BigEndian
	be.PutUint32(f[8:], 2) // "reserved", always set
	be.PutUint32(f[12:], fileVersion)
	be.PutUint64(f[16:], footerSize)
	if diskType == typeFixed {
		be.PutUint64(f[16:], noOffset)
	}
	be.PutUint32(f[24:], uint32(time.Since(epoch)/time.Second))
	copy(f[28:], "vmm ")
	be.PutUint32(f[32:], 0x00010000)
	copy(f[36:], "Wi2k")
	f.setSize(size)
	be.PutUint32(f[60:], diskType)
	rand.Read(f[68:84])
	f.seal()
	return f
}
