// Package kerneltest makes small kernels for the tests of the boot protocols: files with the right headers around a few bytes of code.
package kerneltest

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/boot/e820"
	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/boot/payload"
	"github.com/sharevm/vmm/vmm/memory"
)

// BzImage describes a bzImage. The zero value of a field is what a common kernel has there.
type BzImage struct {
	Version     uint16
	Sects       uint8
	LoadFlags   uint8
	XLoadFlags  uint16
	HeaderEnd   int // offset of the end of the setup header
	Alignment   uint32
	Fixed       bool // not relocatable
	PrefAddress uint64
	InitSize    uint32
	CmdlineSize uint32
	InitrdMax   uint32
	Payload     []byte // compressed kernel, its size field included
}

// PayloadOffset is where the compressed kernel begins in the protected-mode kernel.
const PayloadOffset = 0x400

func or[T comparable](v, common T) T {
	var zero T
	if v == zero {
		return common
	}
	return v
}

// Bytes returns the file.
func (k BzImage) Bytes() []byte {
	le := binary.LittleEndian
	sects := int(or(k.Sects, 3))
	code := append(bytes.Repeat([]byte{0x90}, PayloadOffset), k.Payload...)
	code = append(code, make([]byte, -len(code)&15)...)
	b := make([]byte, (sects+1)*512)
	b[0x1F1] = uint8(sects)
	le.PutUint32(b[0x1F4:], uint32(len(code)/16))
	le.PutUint16(b[0x1FE:], 0xAA55)
	b[0x200], b[0x201] = 0xEB, uint8(or(k.HeaderEnd, 0x26C)-0x202)
	copy(b[0x202:], "HdrS")
	le.PutUint16(b[0x206:], or(k.Version, 0x20F))
	b[0x211] = or(k.LoadFlags, 1)
	le.PutUint32(b[0x214:], 0x100000)
	le.PutUint32(b[0x22C:], or(k.InitrdMax, 0x7FFFFFFF))
	le.PutUint32(b[0x230:], or(k.Alignment, 0x200000))
	if !k.Fixed {
		b[0x234] = 1
	}
	b[0x235] = 21
	le.PutUint16(b[0x236:], or(k.XLoadFlags, 0x3F))
	le.PutUint32(b[0x238:], or(k.CmdlineSize, 2047))
	le.PutUint32(b[0x248:], PayloadOffset)
	le.PutUint32(b[0x24C:], uint32(len(k.Payload)))
	le.PutUint64(b[0x258:], or(k.PrefAddress, 0x1000000))
	le.PutUint32(b[0x260:], or(k.InitSize, 0x400000))
	return append(b, code...)
}

// Segment is a program header with its bytes.
type Segment struct {
	Type  uint32 // 1 PT_LOAD, 4 PT_NOTE
	Paddr uint64
	Data  []byte
	Extra uint64 // bytes of memory beyond Data
}

// Note returns a Xen note with the PVH entry point.
func Note(entry uint32) Segment {
	b := []byte("\x04\x00\x00\x00\x04\x00\x00\x00\x06\x00\x00\x00GNU\x00skip") // another note first
	b = append(b, "\x04\x00\x00\x00\x04\x00\x00\x00\x12\x00\x00\x00Xen\x00"...)
	return Segment{Type: 4, Data: binary.LittleEndian.AppendUint32(b, entry)}
}

// ELF returns an executable of class 64 (or 32) with the segments.
func ELF(class int, segments ...Segment) []byte {
	le := binary.LittleEndian
	header, entrySize := 64, 56
	if class == 32 {
		header, entrySize = 52, 32
	}
	b := make([]byte, header+len(segments)*entrySize)
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], 2)
	le.PutUint16(b[18:], 62)
	le.PutUint32(b[20:], 1)
	if class == 32 {
		b[4] = 1
		le.PutUint16(b[18:], 3)
		le.PutUint32(b[28:], uint32(header))
		le.PutUint16(b[42:], uint16(entrySize))
		le.PutUint16(b[44:], uint16(len(segments)))
	} else {
		le.PutUint64(b[32:], uint64(header))
		le.PutUint16(b[54:], uint16(entrySize))
		le.PutUint16(b[56:], uint16(len(segments)))
	}
	for i, s := range segments {
		h := b[header+i*entrySize:]
		le.PutUint32(h, s.Type)
		off, size, mem := len(b), uint64(len(s.Data)), uint64(len(s.Data))+s.Extra
		if class == 32 {
			le.PutUint32(h[4:], uint32(off))
			le.PutUint32(h[12:], uint32(s.Paddr))
			le.PutUint32(h[16:], uint32(size))
			le.PutUint32(h[20:], uint32(mem))
		} else {
			le.PutUint64(h[8:], uint64(off))
			le.PutUint64(h[24:], s.Paddr)
			le.PutUint64(h[32:], size)
			le.PutUint64(h[40:], mem)
		}
		b = append(b, s.Data...)
	}
	return b
}

// File makes a payload.File of data.
func File(name string, data []byte) payload.File {
	return payload.File{Name: name, Data: bytes.NewReader(data), Size: int64(len(data))}
}

// Payload is a boot of kernel with an optional initrd on the board that l describes.
func Payload(l layout.Layout, kernel, initrd []byte) *payload.Payload {
	p := &payload.Payload{Kernel: File("kernel", kernel), Cmdline: "console=ttyS0 quiet", RSDP: layout.ACPI, Map: e820.Map(l)}
	if initrd != nil {
		f := File("initrd", initrd)
		p.Initrd = &f
	}
	return p
}

// Guest returns zero-filled RAM of size bytes with its map.
func Guest(tb testing.TB, size uint64) (*memory.Guest, layout.Layout) {
	tb.Helper()
	l, err := layout.New(size, 40)
	if err != nil {
		tb.Fatal(err)
	}
	var regions []memory.Region
	for _, w := range l.RAMWindows() {
		regions = append(regions, memory.Region{Base: w.Base, Host: make([]byte, w.Size)})
	}
	g, err := memory.FromRegions(regions...)
	if err != nil {
		tb.Fatal(err)
	}
	return g, l
}
