package aml

import "encoding/binary"

// Resource is an encoded resource descriptor.
type Resource []byte

// Tags of descriptors (ACPI 6.5, sections 6.4.2 and 6.4.3).
const (
	tagIRQ       = 0x22 // small, two bytes
	tagIO        = 0x47
	tagEnd       = 0x79
	tagMemory32F = 0x86 // large
	tagDWord     = 0x87
	tagWord      = 0x88
	tagInterrupt = 0x89
	tagQWord     = 0x8A

	spaceMemory = 0
	spaceIO     = 1
	spaceBus    = 2

	rangeFixed    = 0x0C // the bridge hands the range on as it is: minimum and maximum are fixed
	readWrite     = 0x01
	wholeIO       = 0x03 // ISA and non-ISA ports
	decode16      = 0x01
	wordSpaceLen  = 13
	dwordSpaceLen = 23
	qwordSpaceLen = 43
	memory32FLen  = 9
)

// ResourceTemplate is the buffer that a _CRS holds.
func ResourceTemplate(resources ...Resource) Term {
	var b []byte
	for _, r := range resources {
		b = append(b, r...)
	}
	return Buffer(append(b, tagEnd, 0)) // a checksum of zero counts as correct
}

// IO is a block of size ports at base that the device itself decodes.
func IO(base uint16, size uint8) Resource {
	le := binary.LittleEndian
	r := le.AppendUint16(Resource{tagIO, decode16}, base)
	r = le.AppendUint16(r, base)
	return append(r, 1, size)
}

// IRQ is an edge-triggered ISA interrupt, 0 to 15.
func IRQ(n uint) Resource {
	return binary.LittleEndian.AppendUint16(Resource{tagIRQ}, 1<<(n&15))
}

// InterruptOffset is where in the resource template of a single Interrupt its number is, as 32 bits.
const InterruptOffset = 5

// Interrupt is a level-triggered, active high interrupt that devices share, or a choice of them.
func Interrupt(numbers ...uint32) Resource {
	const consumerLevelHighShared = 1<<3 | 1
	le := binary.LittleEndian
	r := le.AppendUint16(Resource{tagInterrupt}, uint16(2+4*len(numbers)))
	r = append(r, consumerLevelHighShared, byte(len(numbers)))
	for _, n := range numbers {
		r = le.AppendUint32(r, n)
	}
	return r
}

// Memory32Fixed is memory at a fixed place below 4 GiB.
func Memory32Fixed(base, size uint32) Resource {
	le := binary.LittleEndian
	r := le.AppendUint16(Resource{tagMemory32F}, memory32FLen)
	r = append(r, readWrite)
	r = le.AppendUint32(r, base)
	return le.AppendUint32(r, size)
}

// BusRange is the buses that a host bridge serves, both ends included.
func BusRange(first, last uint8) Resource {
	return wordSpace(spaceBus, 0, uint16(first), uint16(last))
}

// IORange is a window of ports that a bridge hands on, both ends included. It may not cover all 64 Ki ports.
func IORange(first, last uint16) Resource { return wordSpace(spaceIO, wholeIO, first, last) }

func wordSpace(space, flags byte, first, last uint16) Resource {
	le := binary.LittleEndian
	r := le.AppendUint16(Resource{tagWord}, wordSpaceLen)
	r = append(r, space, rangeFixed, flags)
	for _, v := range []uint16{0, first, last, 0, last - first + 1} { // granularity, ends, translation, length
		r = le.AppendUint16(r, v)
	}
	return r
}

// MemoryRange32 is a window of memory below 4 GiB that a bridge hands on, both ends included.
func MemoryRange32(first, last uint32) Resource {
	le := binary.LittleEndian
	r := le.AppendUint16(Resource{tagDWord}, dwordSpaceLen)
	r = append(r, spaceMemory, rangeFixed, readWrite)
	for _, v := range []uint32{0, first, last, 0, last - first + 1} {
		r = le.AppendUint32(r, v)
	}
	return r
}

// MemoryRange64 is a window of memory anywhere that a bridge hands on, both ends included.
func MemoryRange64(first, last uint64) Resource {
	le := binary.LittleEndian
	r := le.AppendUint16(Resource{tagQWord}, qwordSpaceLen)
	r = append(r, spaceMemory, rangeFixed, readWrite)
	for _, v := range []uint64{0, first, last, 0, last - first + 1} {
		r = le.AppendUint64(r, v)
	}
	return r
}
