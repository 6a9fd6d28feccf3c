package tftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// How long an answer of the client's may take, until the same is sent again: the first time, and at most, since it doubles. Firmware on a crowded host can
// be slow.
const (
	firstWait = time.Second
	mostWait  = 8 * time.Second
	tries     = 6
)

// ErrSilent says that the client did not answer.
var ErrSilent = errors.New("the client is silent")

// Conn is the way to one client, for one transfer.
type Conn interface {
	// Send sends a datagram, which it does not keep.
	Send(datagram []byte)
	// Receive returns the client's next datagram, which is good until the next call. It returns os.ErrDeadlineExceeded when none comes in time.
	Receive(deadline time.Time) ([]byte, error)
}

// Transfer is what came of a request.
type Transfer struct {
	Name string // as the client spelled it: hostile text
	Size int64  // bytes of the file
}

// Serve answers a request, with blocks of at most maxBlock bytes, until the client has the file, breaks it off or is silent. It returns how that ended.
func Serve(f *Folder, message []byte, maxBlock int, c Conn) (Transfer, error) {
	r, refused := parseRequest(message)
	if refused != nil {
		c.Send(refused.appendTo(nil))
		return Transfer{}, refused
	}
	t := Transfer{Name: r.name}
	file, size, err := f.find(r.name)
	if err != nil {
		return t, fail(c, err)
	}
	t.Size = size
	r.block = max(min(r.block, maxBlock), leastBlock)
	s := sender{request: r, file: file, size: size, c: c, buf: make([]byte, HeaderLen+r.block)}
	return t, s.run()
}

// fail tells the client of an error, without what it says of the host.
func fail(c Conn, err error) error {
	told, ok := err.(*Error)
	if !ok {
		told = &Error{CodeOther, "the file cannot be read"}
	}
	c.Send(told.appendTo(nil))
	return err
}

// sender sends one file.
type sender struct {
	request
	file *os.File
	size int64
	c    Conn
	buf  []byte

	acked int64 // blocks that the client has; the first is 1
	sent  int64
}

// blocks is how many there are: the last is shorter than the others, if need be empty.
func (s *sender) blocks() int64 { return s.size/int64(s.block) + 1 }

func (s *sender) run() error {
	if agreed := s.appendOptions(nil, s.size); len(agreed) > 0 {
		err := s.until(func() error { s.c.Send(agreed); return nil })
		if err != nil {
			return err
		}
	}
	for s.acked < s.blocks() {
		if err := s.until(s.sendWindow); err != nil {
			return err
		}
	}
	return nil
}

// sendWindow sends the blocks behind those that the client has.
func (s *sender) sendWindow() error {
	s.sent = s.acked
	for s.sent < min(s.acked+int64(s.window), s.blocks()) {
		if err := s.sendBlock(s.sent + 1); err != nil {
			return fail(s.c, err)
		}
		s.sent++
	}
	return nil
}

func (s *sender) sendBlock(number int64) error {
	at := (number - 1) * int64(s.block)
	b := s.buf[:HeaderLen+min(int64(s.block), s.size-at)]
	binary.BigEndian.PutUint16(b, opData)
	binary.BigEndian.PutUint16(b[2:], uint16(number))
	if n, err := s.file.ReadAt(b[HeaderLen:], at); n < len(b)-HeaderLen {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%s has become shorter", s.file.Name())
		}
		return err
	}
	s.c.Send(b)
	return nil
}

// until sends until the client acknowledges what it had not acknowledged before.
func (s *sender) until(send func() error) error {
	wait := s.timeout
	for range tries {
		if err := send(); err != nil {
			return err
		}
		err := s.await(time.Now().Add(wait))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		wait = min(2*wait, max(mostWait, s.timeout))
	}
	return ErrSilent
}

// await waits for an acknowledgement of a block of the window, or of the options if no block was sent yet. One that comes again is not answered: who
// answered each would send everything twice from then on (RFC 1123, section 4.2.3.1).
func (s *sender) await(deadline time.Time) error {
	for {
		m, err := s.c.Receive(deadline)
		if err != nil {
			return err
		}
		if len(m) < HeaderLen {
			continue
		}
		number := binary.BigEndian.Uint16(m[2:])
		switch binary.BigEndian.Uint16(m) {
		case opError:
			text, _, _ := strings.Cut(string(m[HeaderLen:]), "\x00")
			return &Error{Code(number), text}
		case opAck:
			if s.sent == 0 && number == 0 {
				return nil
			}
			// The window is much shorter than the numbers are many.
			if ahead := int64(number - uint16(s.acked)); ahead > 0 && ahead <= s.sent-s.acked {
				s.acked += ahead
				return nil
			}
		}
	}
}
