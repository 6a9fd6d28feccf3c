package nbd

import (
	"encoding/binary"

	"github.com/sharevm/vmm/disk"
)

const (
	// maxRuns is how many stretches of data and holes a piece is answered in; what is more broken up is sent as data.
	maxRuns = 16
	// sparseMin is the shortest piece for which the image is asked for holes; to ask costs as much as to read a little.
	sparseMin = 64 << 10
	// holeMin is the shortest hole worth a chunk of its own.
	holeMin = 16 << 10
	// chunkHead is room for the header of a chunk and what precedes data, or a whole chunk without data.
	chunkHead = structuredReplySize + 16
)

// run is a stretch of a piece of a read.
type run struct {
	off, n int64
	hole   bool
}

// addRun takes an extent of the piece, or one that begins there. It wants no more when the piece is covered.
func (s *slot) addRun(e disk.Extent) bool {
	if e.Kind == disk.Data {
		s.known.add(e.Offset, e.Length)
	}
	end := s.off + s.n
	n := min(e.Length, end-e.Offset)
	hole := e.Kind != disk.Data && n >= holeMin
	switch last := len(s.runs) - 1; {
	case last >= 0 && s.runs[last].hole == hole:
		s.runs[last].n += n
	case last+1 == maxRuns:
		s.runs[last].hole = false
		s.runs[last].n = end - s.runs[last].off
		return false
	default:
		s.runs = append(s.runs, run{e.Offset, n, hole})
	}
	return e.Offset+n < end
}

// divide fills runs. DF asks for a single chunk.
func (s *slot) divide(c *conn) {
	s.runs = s.runs[:0]
	if s.n >= sparseMin && s.op.flags&cmdFlagDontFragment == 0 && !c.server.known.data(s.off, s.n) {
		s.known = &c.server.known
		ahead := min(c.export.Image.Size(), (s.off/window+1)*window) - s.off
		if err := c.export.Image.Extents(s.off, ahead, s.each); err != nil {
			s.runs = s.runs[:0] // reading says what is wrong, if it goes wrong
		}
	}
	if len(s.runs) == 0 {
		s.runs = append(s.runs, run{s.off, s.n, false})
	}
}

// readPiece answers a piece of a read with a chunk for each run. The last piece of the operation to be sent ends the reply.
func (s *slot) readPiece(c *conn) {
	s.divide(c)
	buf, vecs := s.buffer(), s.vecs[:0]
	var head []byte // of the last chunk
	for k, r := range s.runs {
		head = s.heads[k*chunkHead:][:chunkHead]
		binary.BigEndian.PutUint64(head[structuredReplySize:], uint64(r.off))
		if r.hole {
			putChunk(head, 0, replyOffsetHole, s.op.cookie, holeSize)
			binary.BigEndian.PutUint32(head[structuredReplySize+8:], uint32(r.n))
			vecs = append(vecs, head[:structuredReplySize+holeSize])
			continue
		}
		data := buf[r.off-s.off:][:r.n]
		if _, err := c.export.Image.ReadAt(data, r.off); err != nil {
			putErrorOffset(head, s.op.cookie, c.trouble("read", r.off, err), r.off)
			vecs = append(s.vecs[:0], head[:structuredReplySize+errorOffsetSize])
			break
		}
		putChunk(head, 0, replyOffsetData, s.op.cookie, offsetSize+len(data))
		vecs = append(vecs, head[:structuredReplySize+offsetSize], data)
	}
	o := s.op
	c.out.mu.Lock()
	done := o.left.Add(-1) == 0
	if done {
		binary.BigEndian.PutUint16(head[4:], replyFlagDone)
	}
	s.out = vecs
	c.out.writev(&s.out)
	c.out.mu.Unlock()
	if done {
		c.pool.over(o)
	}
}

// readSimple answers a whole read with a simple reply. An error after the first piece cannot be told and ends the connection.
func (s *slot) readSimple(c *conn) {
	o, buf := s.op, s.buffer()
	n := min(s.n, pieceSize)
	if _, err := c.export.Image.ReadAt(buf[:n], s.off); err != nil {
		s.finish(c, c.trouble("read", s.off, err))
		return
	}
	defer c.pool.over(o)
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	putSimple(s.heads[:], o.cookie, 0)
	s.out = append(s.vecs[:0], s.heads[:simpleReplySize], buf[:n])
	c.out.writev(&s.out)
	for end := s.off + s.n; s.off+n < end && c.out.broken() == nil; {
		s.off += n
		n = min(end-s.off, pieceSize)
		if _, err := c.export.Image.ReadAt(buf[:n], s.off); err != nil {
			c.out.fails(c.trouble("read", s.off, err))
			c.nc.Close()
			return
		}
		c.out.write(buf[:n])
	}
}
