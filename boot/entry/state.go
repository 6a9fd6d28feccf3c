package entry

import "encoding/binary"

// Mode is the operating mode of the processor at its first instruction.
type Mode uint8

// The modes.
const (
	Real        Mode = iota // as after reset: State's other fields are not used
	Protected32             // flat 32-bit protected mode without paging
	Long64                  // 64-bit mode with the first 4 GiB mapped one to one
)

// Bits of control registers that State uses.
const (
	CR0PE  = 1 << 0
	CR0ET  = 1 << 4
	CR0PG  = 1 << 31
	CR4PAE = 1 << 5

	EFERLME = 1 << 8
	EFERLMA = 1 << 10
)

// State is what the boot processor's registers hold at its first instruction. Registers not named are zero, interrupts
// are disabled.
type State struct {
	Mode               Mode
	RIP, RSP, RBX, RSI uint64
	CR0, CR3, CR4      uint64
	EFER               uint64
	GDT, IDT           Table
	CS, Data, TR       Segment // Data is for DS, ES, FS, GS and SS; the LDT is unusable
}

// Table is a descriptor-table register.
type Table struct {
	Base  uint64
	Limit uint16 // size in bytes less one
}

// Segment is a segment register with its hidden part.
type Segment struct {
	Selector uint16
	Base     uint32
	Limit    uint32 // in bytes, less one, whatever the granularity
	Type     uint8  // 4 bits
	System   bool   // a system segment: the S bit is clear
	Long     bool   // L: 64-bit code
	Big      bool   // D/B: 32-bit code or stack
	Page     bool   // G: the descriptor counts the limit in pages
}

// Types of segments.
const (
	typeCode    = 0xB // execute, read, accessed
	typeData    = 0x3 // read, write, accessed
	typeBusyTSS = 0xB // with System
)

// descriptor encodes s as it stands in a descriptor table: present, for ring 0.
func (s Segment) descriptor() uint64 {
	limit := uint64(s.Limit)
	flags := uint64(s.Type&0xF) | 1<<7
	if !s.System {
		flags |= 1 << 4
	}
	if s.Long {
		flags |= 1 << 13
	}
	if s.Big {
		flags |= 1 << 14
	}
	if s.Page {
		flags |= 1 << 15
		limit >>= 12
	}
	base := uint64(s.Base)
	return limit&0xFFFF | base&0xFFFFFF<<16 | flags<<40 | limit>>16&0xF<<48 | base>>24<<56
}

// encodeGDT lays segments out by their selectors.
func encodeGDT(segments ...Segment) []byte {
	var top uint16
	for _, s := range segments {
		top = max(top, s.Selector&^7)
	}
	b := make([]byte, top+8)
	for _, s := range segments {
		binary.LittleEndian.PutUint64(b[s.Selector&^7:], s.descriptor())
	}
	return b
}
