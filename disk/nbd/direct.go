package nbd

import (
	"encoding/binary"
	"time"
)

const (
	// directMax is the longest read or write that the reader serves itself, in bytes.
	directMax = 64 << 10
	// tooSlow is how long such a one may take without shaking the trust in the image; after one that took longer, the next
	// doubtful ones go to workers, which a slow image can have many of at work.
	tooSlow  = 300 * time.Microsecond
	doubtful = 256
)

// direct decides which requests the reader serves itself.
type direct struct{ doubts int }

func (d *direct) takes(r request) bool {
	if r.length > directMax || r.flags&cmdFlagFUA != 0 {
		return false
	}
	if d.doubts > 0 {
		d.doubts--
		return false
	}
	return true
}

func (d *direct) took(since time.Time) {
	if time.Since(since) > tooSlow {
		d.doubts = doubtful
	}
}

// directRead reads into the batch of replies.
func (c *conn) directRead(r request) error {
	head := simpleReplySize
	if c.structured {
		head = structuredReplySize + offsetSize
	}
	p := c.out.room(head + int(r.length))
	began := time.Now()
	if _, err := c.export.Image.ReadAt(p[head:], int64(r.off)); err != nil {
		c.out.drop(len(p))
		c.out.fail(c.structured, r.cookie, c.trouble("read", int64(r.off), err))
		return nil
	}
	c.direct.took(began)
	if c.structured {
		putChunk(p, replyFlagDone, replyOffsetData, r.cookie, offsetSize+int(r.length))
		binary.BigEndian.PutUint64(p[structuredReplySize:], r.off)
	} else {
		putSimple(p, r.cookie, 0)
	}
	return nil
}

// directWrite writes from the buffer of requests.
func (c *conn) directWrite(r request) error {
	if c.in.Buffered() < int(r.length) {
		c.out.flush()
	}
	p, err := c.in.Peek(int(r.length))
	if err != nil {
		return err
	}
	began := time.Now()
	_, err = c.export.Image.WriteAt(p, int64(r.off))
	c.direct.took(began)
	if err != nil {
		c.out.fail(c.structured, r.cookie, c.trouble("write", int64(r.off), err))
	} else {
		c.out.reply(r.cookie)
	}
	_, err = c.in.Discard(int(r.length))
	return err
}
