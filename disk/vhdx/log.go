package vhdx

import (
	"encoding/binary"

	"github.com/sharevm/vmm/disk"
)

const (
	entrySignature      = "loge"
	dataSignature       = "desc"
	zeroSignature       = "zero"
	dataSectorSignature = "data"

	entryHeaderSize = 64
	descriptorSize  = 32
	// firstDescriptors is how many descriptors the sector with the entry's header has room for, and moreDescriptors any other.
	firstDescriptors = (pageSize - entryHeaderSize) / descriptorSize
	moreDescriptors  = pageSize / descriptorSize

	// maxReplay bounds the log that is replayed. All programs make logs of 1 MiB.
	maxReplay = 32 * mib
	// maxZeroes bounds how many of its descriptors may say zeroes, which are not consolidated.
	maxZeroes = 4096
	// maxFile bounds the file, and where in it a log may write: twice the largest disk.
	maxFile = 2 * maxSize
)

// change is what a descriptor of the log says: data is to be at off, or length zeroes.
type change struct {
	off, length int64
	data        []byte // a page, or nil
}

// logEntry is a valid entry of the log, still as it lies there.
type logEntry struct {
	at, length   int64 // in the log
	tail         int64
	sequence     uint64
	descriptors  int
	flushed, end uint64 // sizes of the file
}

// logReader is a log in memory.
type logReader struct {
	name string
	at   int64 // of the log in the file
	p    []byte
	guid guid
}

// readLog returns the changes of the active sequence in the order in which to make them, and how long the file must be afterwards.
// The log of h is in use; the file has size bytes.
func readLog(file disk.File, h *header, size int64) ([]change, int64, error) {
	if h.logLength > maxReplay {
		return nil, 0, disk.Unsupported(file.Name(), h.logOffset, "replaying a log of %d bytes (at most %d)", h.logLength, maxReplay)
	}
	r := &logReader{name: file.Name(), at: h.logOffset, p: make([]byte, h.logLength), guid: h.log}
	if err := disk.ReadFull(file, r.p, h.logOffset, "log"); err != nil {
		return nil, 0, err
	}
	entries := r.activeSequence()
	if len(entries) == 0 {
		return nil, 0, disk.Corrupt(r.name, r.at, "the log is in use but holds no complete sequence of entries")
	}
	head := entries[len(entries)-1]
	if head.flushed > uint64(size) {
		return nil, 0, disk.Corrupt(r.name, size, "the file is truncated: its log says that it had at least %d bytes", head.flushed)
	}
	if head.end > maxFile {
		return nil, 0, disk.Corrupt(r.name, r.at+head.at, "the log asks for a file of %d bytes", head.end)
	}
	var changes []change
	zeroes, end := 0, int64(head.end)
	for _, e := range entries {
		for _, c := range r.changes(e) {
			if c.off > maxFile || c.length > maxFile-c.off {
				return nil, 0, disk.Corrupt(r.name, r.at+e.at, "the log writes %d bytes at %d", c.length, c.off)
			}
			if c.data == nil {
				zeroes++
			}
			changes, end = append(changes, c), max(end, c.off+c.length)
		}
	}
	if zeroes > maxZeroes {
		return nil, 0, disk.Unsupported(r.name, r.at, "a log that zeroes %d ranges (at most %d)", zeroes, maxZeroes)
	}
	return changes, end, nil
}

// activeSequence finds the newest sequence of entries that is valid and complete (2.3.3), cut to start with its tail.
func (r *logReader) activeSequence() (active []logEntry) {
	found := map[int64]*logEntry{} // entries do not overlap, so that each byte is looked at a few times at most
	for at := int64(0); at < int64(len(r.p)); at += pageSize {
		if e, ok := r.entry(at); ok {
			found[at] = &e
		}
	}
	for at := int64(0); at < int64(len(r.p)); {
		current, next := r.sequence(found, at)
		if current == nil {
			at += pageSize
			continue
		}
		head := current[len(current)-1]
		if active == nil || head.sequence > active[len(active)-1].sequence {
			active = current
		}
		if next <= at { // it went round the end
			break
		}
		at = next
	}
	return active
}

// sequence follows entries from at on while their numbers do, and returns them from the head's tail on, or nil if that is not among
// them. Next is where the log goes on.
func (r *logReader) sequence(found map[int64]*logEntry, at int64) (entries []logEntry, next int64) {
	start := at
	for e := found[at]; e != nil; e = found[at] {
		if n := len(entries); n > 0 && (e.sequence != entries[n-1].sequence+1 || at == start) {
			break
		}
		entries = append(entries, *e)
		at = (at + e.length) % int64(len(r.p))
	}
	if len(entries) == 0 {
		return nil, 0
	}
	tail := entries[len(entries)-1].tail
	for k, e := range entries {
		if e.at == tail {
			return entries[k:], at
		}
	}
	return nil, 0
}

// sector returns sector n of the log, counted round its end.
func (r *logReader) sector(n int64) []byte {
	at := n * pageSize % int64(len(r.p))
	return r.p[at : at+pageSize]
}

// entry returns the entry that begins at byte at, if there is a valid one. What it looks at before the checksum makes sure that
// no other entry begins inside.
func (r *logReader) entry(at int64) (e logEntry, ok bool) {
	le, p := binary.LittleEndian, r.sector(at/pageSize)
	if string(p[:4]) != entrySignature || guid(p[32:48]) != r.guid {
		return e, false
	}
	count := int64(le.Uint32(p[24:]))
	e = logEntry{
		at: at, length: int64(le.Uint32(p[8:])), tail: int64(le.Uint32(p[12:])), sequence: le.Uint64(p[16:]), descriptors: int(count),
		flushed: le.Uint64(p[48:]), end: le.Uint64(p[56:]),
	}
	if e.length%pageSize != 0 || e.length == 0 || e.length > int64(len(r.p)) || e.tail%pageSize != 0 || e.tail >= int64(len(r.p)) ||
		e.sequence == 0 || e.flushed%mib != 0 || e.end%mib != 0 || count > e.length/descriptorSize || descriptorSectors(count) > e.length/pageSize {
		return e, false
	}
	data, ok := r.descriptorsValid(e)
	if !ok || e.length != (descriptorSectors(count)+data)*pageSize || !r.dataValid(e, data) {
		return e, false
	}
	sum := updateChecksum(startChecksum(p[:checksumAt+4]), p[checksumAt+4:])
	for n := int64(1); n < e.length/pageSize; n++ {
		sum = updateChecksum(sum, r.sector(at/pageSize+n))
	}
	return e, sum == storedChecksum(p)
}

// descriptorSectors is how many sectors the header of an entry and count descriptors take.
func descriptorSectors(count int64) int64 {
	if count <= firstDescriptors {
		return 1
	}
	return 1 + (count-firstDescriptors+moreDescriptors-1)/moreDescriptors
}

// descriptor returns descriptor n of e.
func (r *logReader) descriptor(e logEntry, n int64) []byte {
	at := entryHeaderSize + n*descriptorSize // in the entry
	return r.sector(e.at/pageSize + at/pageSize)[at%pageSize:][:descriptorSize]
}

// descriptorsValid checks the descriptors and counts those with a data sector.
func (r *logReader) descriptorsValid(e logEntry) (data int64, ok bool) {
	le := binary.LittleEndian
	for n := range int64(e.descriptors) {
		d := r.descriptor(e, n)
		switch string(d[:4]) {
		case dataSignature:
			data++
		case zeroSignature:
			if le.Uint64(d[8:])%pageSize != 0 {
				return 0, false
			}
		default:
			return 0, false
		}
		if le.Uint64(d[16:])%pageSize != 0 || le.Uint64(d[24:]) != e.sequence {
			return 0, false
		}
	}
	return data, true
}

// dataValid checks the marks of the data sectors.
func (r *logReader) dataValid(e logEntry, data int64) bool {
	le := binary.LittleEndian
	for n := range data {
		p := r.sector(e.at/pageSize + descriptorSectors(int64(e.descriptors)) + n)
		if string(p[:4]) != dataSectorSignature || uint64(le.Uint32(p[4:]))<<32|uint64(le.Uint32(p[pageSize-4:])) != e.sequence {
			return false
		}
	}
	return true
}

// changes returns what e says.
func (r *logReader) changes(e logEntry) (out []change) {
	le := binary.LittleEndian
	sector := e.at/pageSize + descriptorSectors(int64(e.descriptors))
	for n := range int64(e.descriptors) {
		d := r.descriptor(e, n)
		c := change{off: clamp(le.Uint64(d[16:]))}
		if string(d[:4]) == zeroSignature {
			c.length = clamp(le.Uint64(d[8:]))
		} else {
			c.length, c.data = pageSize, make([]byte, pageSize)
			copy(c.data, r.sector(sector))
			copy(c.data, d[8:16])
			copy(c.data[pageSize-4:], d[4:8])
			sector++
		}
		out = append(out, c)
	}
	return out
}

// clamp makes an int64 of an offset; any that does not fit is too large anyway.
func clamp(n uint64) int64 { return int64(min(n, 1<<62)) }
