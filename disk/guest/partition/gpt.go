package partition

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Places in a GPT header (UEFI 2.10, table 5.5) and in an entry (table 5.6), in bytes.
const (
	gptSizeAt      = 12
	gptCRCAt       = 16
	gptMyAt        = 24
	gptAlternateAt = 32
	gptFirstAt     = 40
	gptLastAt      = 48
	gptEntriesAt   = 72
	gptCountAt     = 80
	gptEntrySizeAt = 84
	gptArrayCRCAt  = 88
	gptMinHeader   = 92
	gptMinEntry    = 128
	gptNameAt      = 56
	gptNameSize    = 72
	// maxArray caps the array of entries, which is 16 KiB on almost every disk.
	maxArray = 1 << 20
)

var gptSignature = []byte("EFI PART\x00\x00\x01\x00")

// header is a GPT header that was checked, with its array of entries.
type header struct {
	raw                 []byte // the whole sector
	my, alternate       int64  // sectors
	firstUsable, lastUs int64  // sectors, both usable
	array               []byte
	entrySize           int
	ss                  int64
}

// gpt reads the table for a sector size, or returns nil if there is neither a primary nor a backup.
func (d reader) gpt(sectorSize int) (*Table, error) {
	ss := int64(sectorSize)
	last := d.size/ss - 1
	primary, err := d.header(1, ss)
	if err != nil {
		return nil, err
	}
	h, notes := primary, []string(nil)
	switch {
	case primary == nil:
		if h, err = d.header(last, ss); h == nil {
			return nil, err
		}
		notes = append(notes, "the primary GPT is damaged; its backup at the end of the disk was read instead")
	case primary.alternate != last:
		notes = append(notes, "the backup GPT is not at the end of the disk, whose size was changed")
	default:
		b, err := d.header(last, ss)
		if err != nil {
			return nil, err
		}
		if b == nil {
			notes = append(notes, "the backup GPT is damaged")
		} else if !bytes.Equal(b.array, h.array) {
			notes = append(notes, "the backup GPT lists other partitions than the primary one")
		}
	}
	t := &Table{Scheme: GPT, SectorSize: sectorSize, Notes: notes, Tail: (h.sectors() + 1) * ss}
	alternate := h.alternate
	if primary == nil {
		alternate = h.my
	}
	t.Alternate = (alternate + 1) * ss
	for k := 0; k*h.entrySize < len(h.array); k++ {
		if e, used := h.entry(k); used {
			t.Entries = append(t.Entries, e)
		}
	}
	t.judge(d.size)
	return t, nil
}

// sectors is the length of the array of entries.
func (h *header) sectors() int64 { return (int64(len(h.array)) + h.ss - 1) / h.ss }

// header reads and checks the header in sector lba and the entries it points at. It returns nil if they break a rule.
func (d reader) header(lba, ss int64) (*header, error) {
	if lba < 1 || !d.holds(lba*ss, ss) {
		return nil, nil
	}
	raw := make([]byte, ss)
	if err := d.read(raw, lba*ss); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	size := le.Uint32(raw[gptSizeAt:])
	if !bytes.HasPrefix(raw, gptSignature) || size < gptMinHeader || int64(size) > ss || headerCRC(raw) != le.Uint32(raw[gptCRCAt:]) {
		return nil, nil
	}
	sectors := d.size / ss
	var at [5]int64
	for k, field := range []int{gptMyAt, gptAlternateAt, gptFirstAt, gptLastAt, gptEntriesAt} {
		v := le.Uint64(raw[field:])
		if v >= 1<<54 {
			return nil, nil
		}
		at[k] = int64(v)
	}
	h := &header{raw: raw, my: at[0], alternate: at[1], firstUsable: at[2], lastUs: at[3], ss: ss}
	count, entrySize := le.Uint32(raw[gptCountAt:]), le.Uint32(raw[gptEntrySizeAt:])
	length := int64(count) * int64(entrySize)
	if h.my != lba || entrySize < gptMinEntry || entrySize%8 != 0 || length < 1 || length > maxArray ||
		at[4] < 1 || at[4] >= sectors || !d.holds(at[4]*ss, length) {
		return nil, nil
	}
	h.entrySize = int(entrySize)
	h.array = make([]byte, length)
	if err := d.read(h.array, at[4]*ss); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(h.array) != le.Uint32(raw[gptArrayCRCAt:]) {
		return nil, nil
	}
	return h, nil
}

// headerCRC is the checksum of a header, its own field taken as zero.
func headerCRC(raw []byte) uint32 {
	p := bytes.Clone(raw[:binary.LittleEndian.Uint32(raw[gptSizeAt:])])
	clear(p[gptCRCAt : gptCRCAt+4])
	return crc32.ChecksumIEEE(p)
}

// entry returns the k-th entry, and whether it is used.
func (h *header) entry(k int) (Entry, bool) {
	b := h.array[k*h.entrySize : (k+1)*h.entrySize]
	if bytes.Equal(b[:16], make([]byte, 16)) {
		return Entry{}, false
	}
	e := Entry{Number: k + 1, Type: guid(b), Name: name(b[gptNameAt : gptNameAt+gptNameSize])}
	e.Kind = kinds[e.Type]
	first, last := binary.LittleEndian.Uint64(b[32:]), binary.LittleEndian.Uint64(b[40:])
	switch {
	case first > last || last >= 1<<50:
		e.Problem = fmt.Sprintf("its entry is damaged: it goes from sector %d to sector %d", first, last)
		return e, true
	case int64(first) < h.firstUsable || int64(last) > h.lastUs:
		e.Problem = "it lies outside the part of the disk that the GPT calls usable"
	}
	e.Offset, e.Length = int64(first)*h.ss, int64(last-first+1)*h.ss
	return e, true
}

// guid prints the 16 bytes as Microsoft and UEFI do, the first three groups little-endian.
func guid(b []byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08X-%04X-%04X-%X-%X", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:16])
}

// name decodes a partition's name, without what could trouble a terminal.
func name(b []byte) string {
	var u []uint16
	for k := 0; k+1 < len(b); k += 2 {
		c := binary.LittleEndian.Uint16(b[k:])
		if c == 0 {
			break
		}
		u = append(u, c)
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, string(utf16.Decode(u)))
}
