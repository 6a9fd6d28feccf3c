package firmware

import (
	"encoding/binary"

	"github.com/sharevm/vmm/boot/acpi"
)

// Names of the files that the tables are handed over in.
const (
	FileLoader = "etc/table-loader"
	FileTables = "etc/acpi/tables"
	FileRSDP   = "etc/acpi/rsdp"
)

// The commands of the script.
const (
	loadAllocate     = 1
	loadAddPointer   = 2
	loadAddChecksum  = 3
	loadWritePointer = 4

	loadEntry = 128 // bytes of a command
	loadName  = 56  // of a file's name, its zero included

	zoneHigh    = 1 // anywhere below 4 GiB
	zoneSegment = 2 // where a guest looks for the root pointer
)

// Tables are the ACPI tables as firmware takes them: two files, and the script that places them.
type Tables struct{ Loader, Tables, RSDP []byte }

// Page is a piece of memory that firmware allocates for a device: a file, whose address it writes to another file, unless that is "".
type Page struct {
	File, AddressFile string
	Align             uint32
}

// Link makes the files of s. Pointers of s to external files go to the pages of that name.
func Link(s *acpi.Set, pages ...Page) Tables {
	// All but the root pointer, which is the first, are one file. Its alignment is that of the strictest table.
	var t Tables
	t.RSDP = append(t.RSDP, s.Tables[0].Data...)
	offsets, align := make([]uint32, len(s.Tables)), uint64(1)
	for i, table := range s.Tables[1:] {
		at := (uint64(len(t.Tables)) + table.Align - 1) &^ (table.Align - 1)
		t.Tables = append(t.Tables, make([]byte, at-uint64(len(t.Tables)))...)
		t.Tables = append(t.Tables, table.Data...)
		offsets[i+1], align = uint32(at), max(align, table.Align)
	}
	file := func(table int) ([]byte, string, uint32) {
		if table == 0 {
			return t.RSDP, FileRSDP, 0
		}
		return t.Tables, FileTables, offsets[table]
	}
	t.allocate(FileRSDP, uint32(s.Tables[0].Align), zoneSegment)
	t.allocate(FileTables, uint32(align), zoneHigh)
	for _, p := range pages {
		t.allocate(p.File, p.Align, zoneHigh)
	}
	for _, p := range s.Pointers {
		in, name, base := file(p.In)
		_, target, offset := file(p.To)
		t.point(in, name, base+uint32(p.At), p.Size, target, offset)
	}
	for _, p := range s.External {
		in, name, base := file(p.In)
		t.point(in, name, base+uint32(p.At), p.Size, p.File, p.Offset)
	}
	for i, table := range s.Tables {
		for _, sum := range table.Sums {
			_, name, base := file(i)
			e := t.command(loadAddChecksum)
			copy(e, name)
			binary.LittleEndian.PutUint32(e[loadName:], base+uint32(sum.At))
			binary.LittleEndian.PutUint32(e[loadName+4:], base)
			binary.LittleEndian.PutUint32(e[loadName+8:], uint32(sum.Len))
		}
	}
	for _, p := range pages {
		if p.AddressFile == "" {
			continue
		}
		e := t.command(loadWritePointer)
		copy(e, p.AddressFile)
		copy(e[loadName:], p.File)
		e[2*loadName+8] = 8 // bytes of the pointer; it and what it points to are at the files' starts
	}
	return t
}

// command appends a command and returns its operands.
func (t *Tables) command(kind uint32) []byte {
	at := len(t.Loader)
	t.Loader = append(t.Loader, make([]byte, loadEntry)...)
	binary.LittleEndian.PutUint32(t.Loader[at:], kind)
	return t.Loader[at+4:]
}

func (t *Tables) allocate(file string, align uint32, zone uint8) {
	e := t.command(loadAllocate)
	copy(e, file)
	binary.LittleEndian.PutUint32(e[loadName:], align)
	e[loadName+4] = zone
}

// point has the address of target added to the field, which holds the offset in it.
func (t *Tables) point(in []byte, name string, at uint32, size int, target string, offset uint32) {
	if size == 4 {
		binary.LittleEndian.PutUint32(in[at:], offset)
	} else {
		binary.LittleEndian.PutUint64(in[at:], uint64(offset))
	}
	e := t.command(loadAddPointer)
	copy(e, name)
	copy(e[loadName:], target)
	binary.LittleEndian.PutUint32(e[2*loadName:], at)
	e[2*loadName+4] = uint8(size)
}
