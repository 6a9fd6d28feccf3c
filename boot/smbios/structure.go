package smbios

import "encoding/binary"

// Handles. Those of processors, memory devices and address ranges count up from the given one.
const (
	handleBIOS      = 0x0000
	handleSystem    = 0x0100
	handleBoard     = 0x0200
	handleChassis   = 0x0300
	handleProcessor = 0x0400
	handleArray     = 0x1000
	handleMemory    = 0x1100
	handleRange     = 0x1300
	handleBoot      = 0x2000
	handleEnd       = 0x7F00

	noHandle = 0xFFFE // not provided
)

// structure collects one structure: its formatted area, then its strings.
type structure struct {
	area    []byte
	strings []byte
	count   uint8
}

func newStructure(kind uint8, handle uint16) *structure {
	s := &structure{area: []byte{kind, 0}}
	s.word(handle)
	return s
}

func (s *structure) byte(v ...uint8) { s.area = append(s.area, v...) }

func (s *structure) word(v uint16) { s.area = binary.LittleEndian.AppendUint16(s.area, v) }

func (s *structure) dword(v uint32) { s.area = binary.LittleEndian.AppendUint32(s.area, v) }

func (s *structure) qword(v uint64) { s.area = binary.LittleEndian.AppendUint64(s.area, v) }

// text adds a string and its number to the formatted area; an empty one is number 0, "not given".
func (s *structure) text(v string) {
	if v == "" {
		s.byte(0)
		return
	}
	s.count++
	s.byte(s.count)
	s.strings = append(append(s.strings, v...), 0)
}

// bytes is the whole structure. The string area ends with a zero more than its last string, or two if there is none.
func (s *structure) bytes() []byte {
	s.area[1] = uint8(len(s.area))
	b := append(s.area, s.strings...)
	if s.count == 0 {
		b = append(b, 0)
	}
	return append(b, 0)
}
