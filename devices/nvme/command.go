package nvme

import "encoding/binary"

// commandSize and entrySize are the lengths of entries in submission and completion queues.
const (
	commandSize = 64
	entrySize   = 16
)

// command is a submission queue entry (section 4.2), copied once.
type command struct {
	opcode, flags uint8
	id            uint16
	namespace     uint32
	prp1, prp2    uint64
	dw            [16]uint32 // all of it in dwords, for CDW10 to CDW15
}

// flagsUnsupported are fused operations and SGLs.
const flagsUnsupported = 0xc3

// allNamespaces addresses every namespace.
const allNamespaces = 0xffff_ffff

func (c *command) parse(p *[commandSize]byte) {
	le := binary.LittleEndian
	for i := range c.dw {
		c.dw[i] = le.Uint32(p[4*i:])
	}
	c.opcode, c.flags, c.id = p[0], p[1], le.Uint16(p[2:])
	c.namespace = c.dw[1]
	c.prp1, c.prp2 = le.Uint64(p[24:]), le.Uint64(p[32:])
}

// Admin commands (section 5).
const (
	adminDeleteSQ       = 0x00
	adminCreateSQ       = 0x01
	adminGetLogPage     = 0x02
	adminDeleteCQ       = 0x04
	adminCreateCQ       = 0x05
	adminIdentify       = 0x06
	adminAbort          = 0x08
	adminSetFeatures    = 0x09
	adminGetFeatures    = 0x0a
	adminAsyncEvent     = 0x0c
	adminDoorbellBuffer = 0x7c
)

// I/O commands (section 6).
const (
	ioFlush       = 0x00
	ioWrite       = 0x01
	ioRead        = 0x02
	ioWriteZeroes = 0x08
	ioDataset     = 0x09
)
