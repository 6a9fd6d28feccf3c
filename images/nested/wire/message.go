package wire

import (
	"bytes"
	"encoding/gob"
	"fmt"

	"golang.org/x/sys/unix"
)

// Hello is the agent's first word.
type Hello struct {
	Kernel string  // release of the guest's kernel
	Uptime float64 // seconds since the guest's kernel started
}

// Start describes the command, its surroundings and what the guest has to set up for it.
type Start struct {
	Args     []string
	Env      []string
	Dir      string
	Terminal *Terminal
	Shares   []Share // in the order of mounting
	Modules  string  // folder of the host with the modules of the guest's kernel
	Isolated bool
	CR8      bool  // kvm-amd must be the patched one
	Clock    int64 // the host's time in nanoseconds since 1970
}

// Terminal asks for a pseudo terminal behind those of the standard streams that are terminals on the host.
type Terminal struct {
	On    [Streams]bool
	Size  Size
	Modes unix.Termios // as they were before the host's terminal was made raw
}

// Size of a terminal in characters.
type Size struct {
	Rows uint16
	Cols uint16
}

// Share is a folder of the host that the guest sees at the same path.
type Share struct {
	Tag  string // 9p mount tag
	Path string
}

// Exit is how the command ended.
type Exit struct {
	Code   int // exit status, when Signal is 0
	Signal int // the signal that ended it
}

// Status is the exit status that a shell would report.
func (e Exit) Status() int {
	if e.Signal != 0 {
		return 128 + e.Signal
	}
	return e.Code
}

// maxStart bounds a Start in bytes; Linux allows arguments and environment of this size together by default.
const maxStart = 4 << 20

// WriteStart sends s in as many frames as it needs; an empty one ends it.
func (w *Writer) WriteStart(s Start) error {
	var all bytes.Buffer
	if err := gob.NewEncoder(&all).Encode(s); err != nil {
		return err
	}
	b := all.Bytes()
	if len(b) > maxStart {
		return fmt.Errorf("the arguments and the environment are too long (%d bytes, at most %d)", len(b), maxStart)
	}
	for {
		n := min(len(b), MaxPayload)
		if err := w.Write(Frame{Kind: KindStart, Payload: b[:n]}); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		b = b[n:]
	}
}

// ReadStart collects what WriteStart sent. No other frame than KindBeat may come in between.
func (r *Reader) ReadStart() (Start, error) {
	var all []byte
	for {
		f, err := r.Read()
		switch {
		case err != nil:
			return Start{}, err
		case f.Kind == KindBeat:
			continue
		case f.Kind != KindStart:
			return Start{}, fmt.Errorf("%w: kind %d where a start was due", ErrMalformed, f.Kind)
		case len(all)+len(f.Payload) > maxStart:
			return Start{}, fmt.Errorf("%w: a start of more than %d bytes", ErrMalformed, maxStart)
		}
		if len(f.Payload) == 0 {
			var s Start
			return s, Frame{Kind: KindStart, Payload: all}.Decode(&s)
		}
		all = append(all, f.Payload...)
	}
}
