package partition

import (
	"encoding/binary"
	"fmt"
)

// Places in a master or extended boot record, in bytes.
const (
	mbrEntriesAt   = 446
	mbrEntrySize   = 16
	mbrSignatureAt = 510
)

// maxLogical is how many logical partitions are read. Linux has names for fewer than 256.
const maxLogical = 256

// mbrProtective is the type of the entry that keeps old programs off a GPT.
const mbrProtective = 0xee

// record is a master or extended boot record.
type record struct {
	signed  bool
	entries [4]mbrEntry
}

type mbrEntry struct {
	status, kind  byte
	start, length uint32 // sectors
}

func (e mbrEntry) used() bool { return e.kind != 0 && e.length != 0 }

func (e mbrEntry) extended() bool { return e.kind == 0x05 || e.kind == 0x0f || e.kind == 0x85 }

func parseMBR(p []byte) (r record) {
	r.signed = p[mbrSignatureAt] == 0x55 && p[mbrSignatureAt+1] == 0xaa
	for k := range r.entries {
		b := p[mbrEntriesAt+k*mbrEntrySize:]
		r.entries[k] = mbrEntry{b[0], b[4], binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])}
	}
	return r
}

// protective says whether the record guards a GPT.
func (r record) protective() bool {
	for _, e := range r.entries {
		if r.signed && e.kind == mbrProtective {
			return true
		}
	}
	return false
}

// hybrid says whether a protective record has further entries.
func (r record) hybrid() bool {
	for _, e := range r.entries {
		if e.used() && e.kind != mbrProtective {
			return true
		}
	}
	return false
}

// valid tells a master boot record with partitions from the boot sector of a file system, which bears the same signature, by its status bytes.
func (r record) valid() bool {
	any := false
	for _, e := range r.entries {
		if e.status&0x7f != 0 {
			return false
		}
		any = any || e.used() && e.start > 0
	}
	return r.signed && any
}

// mbr adds the partitions of a master boot record and of the chain within its extended partition.
func (d reader) mbr(t *Table, r record) error {
	ss := int64(t.SectorSize)
	chained := false
	for k, e := range r.entries {
		if !e.used() {
			continue
		}
		entry := mbrPartition(k+1, e, 0, ss)
		entry.Container = e.extended()
		t.Entries = append(t.Entries, entry)
	}
	for _, e := range r.entries {
		if !e.used() || !e.extended() {
			continue
		}
		if chained {
			return damaged("the MBR has two extended partitions")
		}
		chained = true
		if err := d.logical(t, e); err != nil {
			return err
		}
	}
	return nil
}

// logical follows the chain of extended boot records. The first entry of each is a logical partition, counted from the record itself; the
// second is the next record, counted from the start of the extended partition.
func (d reader) logical(t *Table, ext mbrEntry) error {
	ss := int64(t.SectorSize)
	first, size := int64(ext.start)*ss, int64(ext.length)*ss
	seen := map[int64]bool{}
	p := make([]byte, 512)
	number := 5
	for at := int64(0); ; {
		if seen[at] {
			return damaged("the chain of logical partitions comes back to itself at sector %d", (first+at)/ss)
		}
		seen[at] = true
		if len(seen) > maxLogical {
			return damaged("there are more than %d logical partitions", maxLogical)
		}
		if !d.holds(first+at, int64(len(p))) || at >= size {
			return damaged("the record of logical partition %d lies outside the extended partition or the disk", number)
		}
		if err := d.read(p, first+at); err != nil {
			return err
		}
		r := parseMBR(p)
		if !r.signed {
			return damaged("the record of logical partition %d at sector %d has no signature", number, (first+at)/ss)
		}
		next := int64(0)
		for k, e := range r.entries {
			switch {
			case !e.used():
			case e.extended() && next == 0:
				if next = int64(e.start) * ss; next == 0 {
					return damaged("the chain of logical partitions comes back to itself at sector %d", first/ss)
				}
			case k < 2 && !e.extended():
				l := mbrPartition(number, e, first+at, ss)
				if l.End() > first+size {
					l.Problem = "it reaches beyond the extended partition"
				}
				t.Entries = append(t.Entries, l)
				number++ // as Linux does it, an empty record takes none
			}
		}
		if next == 0 {
			return nil
		}
		at = next
	}
}

func mbrPartition(number int, e mbrEntry, base, ss int64) Entry {
	id := fmt.Sprintf("0x%02X", e.kind)
	return Entry{Number: number, Offset: base + int64(e.start)*ss, Length: int64(e.length) * ss, Type: id, Kind: kinds[id]}
}
