package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Kind says what a frame is for.
type Kind uint8

// The kinds of frame; H marks those that the host sends, G those of the guest.
const (
	KindHello   Kind = iota + 1 // G: the agent listens; payload is Hello
	KindStart                   // H: what to run; payload is Start
	KindData                    // H G: bytes of a stream
	KindEOF                     // H G: a stream has ended
	KindClosed                  // H G: nobody reads this stream any more
	KindCredit                  // H G: the reader of a stream took so many bytes; payload is a uint32
	KindSignal                  // H: deliver a signal; payload is its number as a uint32
	KindResize                  // H: the terminal has a new size; payload is Size
	KindExit                    // G: the command has ended; payload is Exit
	KindFailure                 // G: the guest could not run the command at all; payload is text
	KindBeat                    // H: nothing; its interrupt wakes a guest that has missed one
	kindLast    = KindBeat
)

// The streams, numbered as file descriptors are.
const (
	Stdin = iota
	Stdout
	Stderr
	Streams
)

const (
	headerLen = 8
	// MaxPayload keeps a whole frame within the 32 KiB that the guest's virtio-serial driver moves in one buffer.
	MaxPayload = 32<<10 - headerLen
)

// ErrMalformed is what Reader.Read wraps when the bytes are no frame.
var ErrMalformed = errors.New("malformed frame")

// Frame is one message. A Payload that came from a Reader is valid until its next Read.
type Frame struct {
	Kind    Kind
	Stream  uint8 // Stdin, Stdout or Stderr; 0 where the kind has no stream
	Payload []byte
}

// Uint32 is the payload of a credit or a signal.
func (f Frame) Uint32() (uint32, error) {
	if len(f.Payload) != 4 {
		return 0, fmt.Errorf("%w: kind %d with %d bytes instead of 4", ErrMalformed, f.Kind, len(f.Payload))
	}
	return binary.LittleEndian.Uint32(f.Payload), nil
}

// Decode reads the payload of a kind that carries a message into v, a pointer. The messages are gobs and not JSON because file
// names and environment need not be UTF-8.
func (f Frame) Decode(v any) error {
	if err := gob.NewDecoder(bytes.NewReader(f.Payload)).Decode(v); err != nil {
		return fmt.Errorf("%w: kind %d: %v", ErrMalformed, f.Kind, err)
	}
	return nil
}

// Reader takes frames from a byte stream. It is for one goroutine.
type Reader struct {
	r   io.Reader
	buf [headerLen + MaxPayload]byte
}

// NewReader returns a Reader of r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Read returns the next frame, io.EOF at a clean end, io.ErrUnexpectedEOF in the middle of a frame, or an
// error that wraps ErrMalformed.
func (r *Reader) Read() (Frame, error) {
	head := r.buf[:headerLen]
	if _, err := io.ReadFull(r.r, head); err != nil {
		return Frame{}, err
	}
	f := Frame{Kind: Kind(head[0]), Stream: head[1]}
	n := binary.LittleEndian.Uint32(head[4:])
	switch {
	case f.Kind == 0 || f.Kind > kindLast:
		return Frame{}, fmt.Errorf("%w: unknown kind %d", ErrMalformed, f.Kind)
	case f.Stream >= Streams:
		return Frame{}, fmt.Errorf("%w: unknown stream %d", ErrMalformed, f.Stream)
	case head[2] != 0 || head[3] != 0:
		return Frame{}, fmt.Errorf("%w: reserved bytes are not zero", ErrMalformed)
	case n > MaxPayload:
		return Frame{}, fmt.Errorf("%w: %d bytes of payload, at most %d are allowed", ErrMalformed, n, MaxPayload)
	}
	f.Payload = r.buf[headerLen : headerLen+n]
	if _, err := io.ReadFull(r.r, f.Payload); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	return f, nil
}

// Writer sends frames, whole and one after the other, however many goroutines call it.
type Writer struct {
	mu  sync.Mutex
	w   io.Writer
	buf [headerLen + MaxPayload]byte
}

// NewWriter returns a Writer to w. Each frame is one call of w.Write.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write sends f. Its payload must not be longer than MaxPayload.
func (w *Writer) Write(f Frame) error {
	if len(f.Payload) > MaxPayload {
		return fmt.Errorf("%w: %d bytes of payload, at most %d are allowed", ErrMalformed, len(f.Payload), MaxPayload)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.buf[:headerLen])
	w.buf[0], w.buf[1] = byte(f.Kind), f.Stream
	binary.LittleEndian.PutUint32(w.buf[4:], uint32(len(f.Payload)))
	n := copy(w.buf[headerLen:], f.Payload)
	_, err := w.w.Write(w.buf[:headerLen+n])
	return err
}

// WriteUint32 sends a credit or a signal.
func (w *Writer) WriteUint32(k Kind, stream uint8, v uint32) error {
	return w.Write(Frame{Kind: k, Stream: stream, Payload: binary.LittleEndian.AppendUint32(nil, v)})
}

// WriteMessage sends v as the payload of a frame. A value that is too long for one frame is an error; see WriteStart.
func (w *Writer) WriteMessage(k Kind, v any) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	return w.Write(Frame{Kind: k, Payload: b.Bytes()})
}
