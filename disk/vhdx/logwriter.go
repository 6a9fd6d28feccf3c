package vhdx

import "encoding/binary"

// maxHalf bounds the half of the log that an entry may fill, in bytes.
const maxHalf int64 = mib

// maxRoom bounds how many pages a flush puts into one entry. Tests make it small.
var maxRoom = int(maxHalf / pageSize)

// logWriter fills in log entries, by turns in the two halves of the log.
type logWriter struct {
	at, half int64 // bytes
	guid     guid
	sequence uint64 // of the last entry
}

// newLogWriter returns the writer of the log of h with a new identifier, which makes all old entries invalid.
func newLogWriter(h *header) *logWriter {
	return &logWriter{at: h.logOffset, half: min(h.logLength/2, maxHalf) &^ (pageSize - 1), guid: newGUID()}
}

// capacity is how many pages an entry can hold.
func (w *logWriter) capacity() int {
	sectors := w.half / pageSize
	return int(sectors - descriptorSectors(sectors))
}

// room is how many pages an entry of a flush may hold.
func (w *logWriter) room() int { return min(w.capacity(), maxRoom) }

// entry returns the next entry, with the changed pages of metadata given by their places, and where it goes. All before it has been
// written in its place, so that it is its own tail. FileSize is the file's durable length.
func (w *logWriter) entry(pages []page, fileSize int64) (at int64, p []byte) {
	w.sequence++
	tail := int64(w.sequence%2) * w.half
	sectors := descriptorSectors(int64(len(pages)))
	p = make([]byte, (sectors+int64(len(pages)))*pageSize)
	le := binary.LittleEndian
	copy(p, entrySignature)
	le.PutUint32(p[8:], uint32(len(p)))
	le.PutUint32(p[12:], uint32(tail))
	le.PutUint64(p[16:], w.sequence)
	le.PutUint32(p[24:], uint32(len(pages)))
	copy(p[32:], w.guid[:])
	le.PutUint64(p[48:], uint64(fileSize))
	le.PutUint64(p[56:], uint64(fileSize))
	for k, g := range pages {
		d := p[entryHeaderSize+k*descriptorSize:]
		copy(d, dataSignature)
		copy(d[4:8], g.data[pageSize-4:])
		copy(d[8:16], g.data)
		le.PutUint64(d[16:], uint64(g.off))
		le.PutUint64(d[24:], w.sequence)
		s := p[(sectors+int64(k))*pageSize:][:pageSize]
		copy(s, g.data)
		copy(s, dataSectorSignature)
		le.PutUint32(s[4:], uint32(w.sequence>>32))
		le.PutUint32(s[pageSize-4:], uint32(w.sequence))
	}
	seal(p)
	return w.at + tail, p
}
