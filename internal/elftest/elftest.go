// Package elftest makes small relocatable ELF files, such as kernel modules are, for tests that parse them.
package elftest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// Section is a section with contents.
type Section struct {
	Name string
	Type elf.SectionType // SHT_PROGBITS when zero
	Info uint32          // for SHT_RELA: index of the section that is relocated; the first of the list has index 1
	Data []byte
}

// Function is a symbol of type STT_FUNC.
type Function struct {
	Name        string
	Section     uint16 // index, counted as above
	Value, Size uint64
}

// Build returns an x86-64 ELF file with the sections, a symbol table, and the string tables that these need.
func Build(sections []Section, functions ...Function) []byte {
	symbols := make([]byte, elf.Sym64Size)
	symbolNames := []byte{0}
	for _, f := range functions {
		sym := elf.Sym64{Name: uint32(len(symbolNames)), Info: elf.ST_INFO(elf.STB_LOCAL, elf.STT_FUNC), Shndx: f.Section, Value: f.Value, Size: f.Size}
		symbols, _ = binary.Append(symbols, binary.LittleEndian, sym)
		symbolNames = append(append(symbolNames, f.Name...), 0)
	}
	n := uint32(len(sections))
	all := append(append([]Section{{}}, sections...),
		Section{Name: ".symtab", Type: elf.SHT_SYMTAB, Info: uint32(len(functions)) + 1, Data: symbols},
		Section{Name: ".strtab", Type: elf.SHT_STRTAB, Data: symbolNames},
		Section{Name: ".shstrtab", Type: elf.SHT_STRTAB})
	names := []byte{}
	headers := make([]elf.Section64, len(all))
	for i, s := range all {
		headers[i].Name = uint32(len(names))
		names = append(append(names, s.Name...), 0)
	}
	all[len(all)-1].Data = names
	var body bytes.Buffer
	const start = 64 // the file's header
	for i, s := range all {
		h := &headers[i]
		h.Type, h.Info, h.Off, h.Size, h.Addralign = uint32(s.Type), s.Info, uint64(start+body.Len()), uint64(len(s.Data)), 1
		switch {
		case i == 0:
			*h = elf.Section64{}
		case s.Type == elf.SHT_NULL:
			h.Type = uint32(elf.SHT_PROGBITS)
		case s.Type == elf.SHT_SYMTAB:
			h.Link, h.Entsize = n+2, elf.Sym64Size
		case s.Type == elf.SHT_RELA:
			h.Link, h.Entsize = n+1, 24
		}
		body.Write(s.Data)
	}
	head := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Shoff: uint64(start + body.Len()), Ehsize: start, Shentsize: 64, Shnum: uint16(len(all)), Shstrndx: uint16(len(all) - 1),
	}
	out, _ := binary.Append(nil, binary.LittleEndian, head)
	out = append(out, body.Bytes()...)
	for _, h := range headers {
		out, _ = binary.Append(out, binary.LittleEndian, h)
	}
	return out
}
