package wire

import (
	"fmt"
	"io"
	"sync"
)

// windowSize is how many bytes of a stream may be under way before the reader has taken them.
const windowSize = 256 << 10

// Source sends one stream: it reads from a file and obeys the window.
type Source struct {
	w      *Writer
	stream uint8

	mu     sync.Mutex
	cond   sync.Cond
	credit int  // bytes that may still be sent
	closed bool // the other side reads no more
}

// NewSource returns the sending end of a stream over w.
func NewSource(w *Writer, stream uint8) *Source {
	s := &Source{w: w, stream: stream, credit: windowSize}
	s.cond.L = &s.mu
	return s
}

// Credit takes note that the other side took n bytes.
func (s *Source) Credit(n uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int64(s.credit)+int64(n) > windowSize {
		return fmt.Errorf("%w: credit for %d bytes that were never sent", ErrMalformed, n)
	}
	s.credit += int(n)
	s.cond.Broadcast()
	return nil
}

// Close takes note that the other side reads no more: Copy returns before it reads again.
func (s *Source) Close() {
	s.mu.Lock()
	s.closed = true
	s.cond.Broadcast()
	s.mu.Unlock()
}

// wait returns how many bytes may be sent, or 0 when the other side reads no more.
func (s *Source) wait() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.credit == 0 && !s.closed {
		s.cond.Wait()
	}
	if s.closed {
		return 0
	}
	return s.credit
}

// Copy sends what it reads from r until r ends or the other side reads no more. It then sends the end of the stream. Only
// a failure of the connection is an error: one of r is the end of the stream.
func (s *Source) Copy(r io.Reader) error {
	buf := make([]byte, MaxPayload)
	for {
		n := s.wait()
		if n == 0 {
			break
		}
		n, err := r.Read(buf[:min(n, len(buf))])
		if n > 0 {
			s.mu.Lock()
			s.credit -= n
			s.mu.Unlock()
			if err := s.w.Write(Frame{Kind: KindData, Stream: s.stream, Payload: buf[:n]}); err != nil {
				return err
			}
		}
		if err != nil {
			break
		}
	}
	return s.w.Write(Frame{Kind: KindEOF, Stream: s.stream})
}

// Sink receives one stream and hands it to a file at that file's own pace.
type Sink struct {
	w      *Writer
	stream uint8

	mu    sync.Mutex
	cond  sync.Cond
	queue []byte // at most windowSize
	ended bool
}

// NewSink returns the receiving end of a stream; its credits go out by w.
func NewSink(w *Writer, stream uint8) *Sink {
	s := &Sink{w: w, stream: stream}
	s.cond.L = &s.mu
	return s
}

// Put queues bytes that arrived. It never blocks; more than the window allows is an error.
func (s *Sink) Put(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return fmt.Errorf("%w: data after the end of stream %d", ErrMalformed, s.stream)
	}
	if len(s.queue)+len(b) > windowSize {
		return fmt.Errorf("%w: stream %d overran its window", ErrMalformed, s.stream)
	}
	s.queue = append(s.queue, b...)
	s.cond.Signal()
	return nil
}

// End takes note that nothing more comes.
func (s *Sink) End() {
	s.mu.Lock()
	s.ended = true
	s.cond.Signal()
	s.mu.Unlock()
}

// Copy writes the stream to dst until the stream has ended. When dst can't be written any more it
// tells the other side so and drops the rest. Only a failure of the connection is an error.
func (s *Sink) Copy(dst io.Writer) error {
	var spare []byte
	broken := false
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.ended {
			s.cond.Wait()
		}
		b := s.queue
		s.queue = spare[:0]
		s.mu.Unlock()
		if len(b) == 0 {
			return nil
		}
		if !broken {
			if _, err := dst.Write(b); err != nil {
				broken = true
				if err := s.w.Write(Frame{Kind: KindClosed, Stream: s.stream}); err != nil {
					return err
				}
			}
		}
		if err := s.w.WriteUint32(KindCredit, s.stream, uint32(len(b))); err != nil {
			return err
		}
		spare = b
	}
}
