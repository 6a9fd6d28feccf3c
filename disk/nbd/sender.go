package nbd

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// batchSize is how many bytes of replies are collected; it holds the largest one that is not sent by a worker, with its header.
const batchSize = 128 << 10

// sender sends replies to a client. After the first failure it sends nothing more.
type sender struct {
	w     io.Writer
	batch []byte // replies not sent yet; the reader's own

	mu     sync.Mutex // held while a message is sent
	failed atomic.Pointer[error]
}

// broken returns the error that ended the sending, or nil.
func (s *sender) broken() error {
	if e := s.failed.Load(); e != nil {
		return *e
	}
	return nil
}

// fails ends the sending with err.
func (s *sender) fails(err error) { s.failed.CompareAndSwap(nil, &err) }

// write sends p. Called with mu held.
func (s *sender) write(p []byte) {
	if s.failed.Load() == nil {
		if _, err := s.w.Write(p); err != nil {
			s.fails(err)
		}
	}
}

// writev sends bufs. Called with mu held.
func (s *sender) writev(bufs *net.Buffers) {
	if s.failed.Load() == nil {
		if _, err := bufs.WriteTo(s.w); err != nil {
			s.fails(err)
		}
	}
}

// send sends p, whole.
func (s *sender) send(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(p)
}

// flush sends what was collected. Only the reader may call it, and the functions below.
func (s *sender) flush() {
	if len(s.batch) > 0 {
		s.send(s.batch)
		s.batch = s.batch[:0]
	}
}

// room makes room for n bytes at the end of the batch and returns them; n is at most batchSize.
func (s *sender) room(n int) []byte {
	if s.batch == nil {
		s.batch = make([]byte, 0, batchSize)
	}
	if len(s.batch)+n > batchSize {
		s.flush()
	}
	at := len(s.batch)
	s.batch = s.batch[:at+n]
	return s.batch[at:]
}

// drop takes the last n bytes back.
func (s *sender) drop(n int) { s.batch = s.batch[:len(s.batch)-n] }

// reply collects the reply to a request that went well and has no data. A simple one will do in either mode.
func (s *sender) reply(cookie uint64) { putSimple(s.room(simpleReplySize), cookie, 0) }

// fail collects the reply to a request that failed.
func (s *sender) fail(structured bool, cookie uint64, c code) {
	if !structured {
		putSimple(s.room(simpleReplySize), cookie, c)
		return
	}
	text := c.Error()
	putError(s.room(errorChunkSize(text)), cookie, c, text)
}

// putSimple writes a simple reply (section "Simple reply message").
func putSimple(p []byte, cookie uint64, c code) {
	binary.BigEndian.PutUint32(p, magicSimpleReply)
	binary.BigEndian.PutUint32(p[4:], uint32(c))
	binary.BigEndian.PutUint64(p[8:], cookie)
}

// putChunk writes the header of a chunk (section "Structured reply chunk message"); length is that of its payload.
func putChunk(p []byte, flags, kind uint16, cookie uint64, length int) {
	binary.BigEndian.PutUint32(p, magicStructuredReply)
	binary.BigEndian.PutUint16(p[4:], flags)
	binary.BigEndian.PutUint16(p[6:], kind)
	binary.BigEndian.PutUint64(p[8:], cookie)
	binary.BigEndian.PutUint32(p[16:], uint32(length))
}

func errorChunkSize(text string) int { return structuredReplySize + 6 + len(text) }

// putError writes an ERROR chunk, the last of its reply.
func putError(p []byte, cookie uint64, c code, text string) {
	putChunk(p, replyFlagDone, replyError, cookie, 6+len(text))
	binary.BigEndian.PutUint32(p[structuredReplySize:], uint32(c))
	binary.BigEndian.PutUint16(p[structuredReplySize+4:], uint16(len(text)))
	copy(p[structuredReplySize+6:], text)
}

// putErrorOffset writes an ERROR_OFFSET chunk without a message.
func putErrorOffset(p []byte, cookie uint64, c code, off int64) {
	putChunk(p, 0, replyErrorOffset, cookie, errorOffsetSize)
	p = p[structuredReplySize:]
	binary.BigEndian.PutUint32(p, uint32(c))
	binary.BigEndian.PutUint16(p[4:], 0)
	binary.BigEndian.PutUint64(p[6:], uint64(off))
}
