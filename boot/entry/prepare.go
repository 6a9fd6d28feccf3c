package entry

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/vmm/memory"
)

// Selectors that Linux's boot protocols ask for (__BOOT_CS, __BOOT_DS); Xen's leave them open.
const (
	selectorCode = 0x10
	selectorData = 0x18
	selectorTSS  = 0x20
)

const (
	pagePresent  = 1 << 0
	pageWritable = 1 << 1
	pageLarge    = 1 << 7

	tableEntries = 512
	largePage    = 2 * layout.MiB
	mapped       = 4 * layout.GiB
	directories  = mapped / (tableEntries * largePage)
)

// Prepare64 writes the descriptor table and page tables into mem and returns the state that enters 64-bit code at rip with
// RSI = rsi, the first 4 GiB mapped one to one.
func Prepare64(mem *memory.Guest, rip, rsi uint64) (State, error) {
	s := State{
		Mode: Long64,
		RIP:  rip, RSI: rsi, RSP: layout.Stack,
		CR0:  CR0PE | CR0ET | CR0PG,
		CR3:  layout.PageTables,
		CR4:  CR4PAE,
		EFER: EFERLME | EFERLMA,
		CS:   Segment{Selector: selectorCode, Limit: 0xFFFFFFFF, Type: typeCode, Long: true, Page: true},
	}
	if err := writePageTables(mem); err != nil {
		return State{}, err
	}
	return s, s.finish(mem)
}

// Prepare32 writes the descriptor table into mem and returns the state that enters 32-bit code at eip with EBX = ebx, flat and
// without paging.
func Prepare32(mem *memory.Guest, eip, ebx uint32) (State, error) {
	s := State{
		Mode: Protected32,
		RIP:  uint64(eip), RBX: uint64(ebx), RSP: layout.Stack,
		CR0: CR0PE | CR0ET,
		CS:  Segment{Selector: selectorCode, Limit: 0xFFFFFFFF, Type: typeCode, Big: true, Page: true},
	}
	return s, s.finish(mem)
}

// finish fills in what both modes share and writes the descriptor table.
func (s *State) finish(mem *memory.Guest) error {
	s.Data = Segment{Selector: selectorData, Limit: 0xFFFFFFFF, Type: typeData, Big: true, Page: true}
	s.TR = Segment{Selector: selectorTSS, Limit: 0x67, Type: typeBusyTSS, System: true}
	gdt := encodeGDT(s.CS, s.Data, s.TR)
	s.GDT = Table{layout.GDT, uint16(len(gdt) - 1)}
	if err := mem.Write(layout.GDT, gdt); err != nil {
		return fmt.Errorf("boot: write descriptor table: %w", err)
	}
	return nil
}

// writePageTables maps the first 4 GiB one to one by 2 MiB pages: a PML4, a page-directory-pointer table and the directories,
// one after the other.
func writePageTables(mem *memory.Guest) error {
	const pdpt = layout.PageTables + layout.PageSize
	const pd = pdpt + layout.PageSize
	t, err := mem.Slice(layout.PageTables, (2+directories)*layout.PageSize)
	if err != nil {
		return fmt.Errorf("boot: write page tables: %w", err)
	}
	clear(t[:2*layout.PageSize])
	put := func(table, i int, v uint64) {
		binary.LittleEndian.PutUint64(t[table*layout.PageSize+8*i:], v)
	}
	put(0, 0, pdpt|pagePresent|pageWritable)
	for d := range directories {
		put(1, d, uint64(pd+d*layout.PageSize)|pagePresent|pageWritable)
		for i := range tableEntries {
			put(2+d, i, uint64(d*tableEntries+i)*largePage|pagePresent|pageWritable|pageLarge)
		}
	}
	return nil
}
