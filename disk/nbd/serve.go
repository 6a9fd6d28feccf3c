package nbd

import (
	"encoding/binary"

	"github.com/sharevm/vmm/disk"
)

// serve works on a piece and answers, if it is the operation's last.
func (s *slot) serve(c *conn) {
	switch s.op.kind {
	case cmdRead:
		if c.structured {
			s.readPiece(c)
		} else {
			s.readSimple(c)
		}
	case cmdWrite:
		_, err := c.export.Image.WriteAt(s.buf[:s.n], s.off)
		s.finish(c, c.trouble("write", s.off, err))
	case cmdFlush:
		s.finish(c, c.trouble("flush", 0, c.export.Image.Flush()))
	case cmdTrim:
		s.finish(c, c.trouble("discard", s.off, c.export.Image.Discard(s.off, s.n)))
	case cmdWriteZeroes:
		s.finish(c, s.writeZeroes(c))
	case cmdBlockStatus:
		s.blockStatus(c)
	}
}

// finish ends a piece of an operation whose reply has no data; bad is what went wrong with it. The last piece answers.
func (s *slot) finish(c *conn, bad code) {
	o := s.op
	if bad != 0 {
		o.failed.CompareAndSwap(0, uint32(bad))
	}
	if o.left.Add(-1) > 0 {
		return
	}
	bad = code(o.failed.Load())
	if bad == 0 && o.flags&cmdFlagFUA != 0 && o.kind != cmdRead && o.kind != cmdFlush {
		bad = c.trouble("flush", 0, c.export.Image.Flush())
	}
	s.answer(c, bad)
	c.pool.over(o)
}

// answer replies to the slot's operation without data.
func (s *slot) answer(c *conn, bad code) {
	p := s.heads[:simpleReplySize]
	if bad == 0 || !c.structured {
		putSimple(p, s.op.cookie, bad)
	} else {
		text := bad.Error()
		p = s.heads[:errorChunkSize(text)]
		putError(p, s.op.cookie, bad, text)
	}
	c.out.send(p)
}

func (s *slot) writeZeroes(c *conn) code {
	unmap := s.op.flags&cmdFlagNoHole == 0
	if s.op.flags&cmdFlagFastZero != 0 {
		s.zeros = zeroing{}
		if err := c.export.Image.Extents(s.off, s.n, s.each); err != nil || !unmap || s.zeros.slow {
			return errNotSup
		}
	}
	return c.trouble("write zeroes", s.off, c.export.Image.WriteZeroes(s.off, s.n, unmap))
}

// zeroing judges whether a range can be made zero faster than by writing.
type zeroing struct {
	extents int
	slow    bool
}

// see takes an extent of the range. What is a hole needs nothing, and what the image itself stores as it is can be punched out of its file.
// What a parent stores has to be covered, and what is compressed may have to be written anew. Very many extents take long by their number.
func (z *zeroing) see(e disk.Extent) bool {
	const many = 4096
	z.extents++
	z.slow = z.extents > many || e.Kind == disk.Data && (e.Depth > 0 || e.Host < 0)
	return !z.slow
}

// statusList is the answer of one context: descriptors in a part of the slot's buffer.
type statusList struct {
	p     []byte // header, ID and descriptors
	last  uint32 // status of the last descriptor
	len   int64  // bytes that it describes
	count int    // descriptors
	most  int    // how many there may be
	full  bool   // more was to be told
}

const statusHead = structuredReplySize + 4

// add takes an extent with its status; it returns false once there is no room.
func (l *statusList) add(length int64, status uint32) bool {
	switch {
	case l.full:
		return false
	case l.count > 0 && status == l.last:
		l.len += length
	case l.count == l.most:
		l.full = true
		return false
	default:
		l.count++
		l.last, l.len = status, length
	}
	at := statusHead + 8*(l.count-1)
	l.p = l.p[:at+8]
	binary.BigEndian.PutUint32(l.p[at:], uint32(l.len))
	binary.BigEndian.PutUint32(l.p[at+4:], status)
	return true
}

// describe takes an extent for all contexts that the client selected.
func (s *slot) describe(e disk.Extent) (more bool) {
	for k := range contexts {
		if l := &s.lists[k]; l.p != nil && l.add(e.Length, contexts[k].status(e)) {
			more = true
		}
	}
	return more
}

// blockStatus answers with a chunk for each context (section "Structured reply types", BLOCK_STATUS).
func (s *slot) blockStatus(c *conn) {
	const part = pieceSize / numContexts
	most := (part - statusHead) / 8
	if s.op.flags&cmdFlagReqOne != 0 {
		most = 1
	}
	buf := s.buffer()
	for k := range s.lists {
		s.lists[k] = statusList{}
		if c.contexts&(1<<k) != 0 {
			s.lists[k] = statusList{p: buf[k*part : k*part+statusHead : (k+1)*part], most: most}
		}
	}
	if err := c.export.Image.Extents(s.off, s.n, s.each); err != nil {
		s.finish(c, c.trouble("map", s.off, err))
		return
	}
	s.out = s.vecs[:0]
	for k := range s.lists {
		l := &s.lists[k]
		if l.p == nil {
			continue
		}
		putChunk(l.p, 0, replyBlockStatus, s.op.cookie, len(l.p)-structuredReplySize)
		binary.BigEndian.PutUint32(l.p[structuredReplySize:], uint32(k)+1)
		s.out = append(s.out, l.p)
	}
	binary.BigEndian.PutUint16(s.out[len(s.out)-1][4:], replyFlagDone)
	c.out.mu.Lock()
	c.out.writev(&s.out)
	c.out.mu.Unlock()
	c.pool.over(s.op)
}
