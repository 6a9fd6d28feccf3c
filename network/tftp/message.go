package tftp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Opcodes (RFC 1350, section 5; RFC 2347).
const (
	opRead = iota + 1
	opWrite
	opData
	opAck
	opError
	opOptions
)

// Code is an error code (RFC 1350, appendix; RFC 2347).
type Code uint16

// The codes that are sent.
const (
	CodeOther Code = iota
	CodeNotFound
	CodeAccess
	_
	CodeIllegal
)

// Error is an error that the other side is told of, or has told.
type Error struct {
	Code Code
	Text string // from a client: hostile text
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("TFTP error %d: %q", e.Code, e.Text) }

// appendTo appends the message that tells of it.
func (e *Error) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, opError)
	b = binary.BigEndian.AppendUint16(b, uint16(e.Code))
	return append(append(b, e.Text...), 0)
}

// Sizes of messages, in bytes.
const (
	// HeaderLen is what stands before the bytes of a block.
	HeaderLen = 4
	// MaxMessage bounds what a client has to say; a longer request is none (RFC 2347).
	MaxMessage = 512

	defaultBlock = 512
	leastBlock   = 8
	mostBlock    = 65464
)

// maxWindow is how many blocks may be under way; more than a firmware's card can hold would only be lost.
const maxWindow = 16

// request is a read request.
type request struct {
	name string
	// The options as they are agreed on; has tells which were asked for.
	block, window int
	timeout       time.Duration
	has           struct{ block, window, timeout, size bool }
}

// parseRequest reads a message that came to the server's port.
func parseRequest(message []byte) (request, *Error) {
	r := request{block: defaultBlock, window: 1, timeout: firstWait}
	illegal := &Error{CodeIllegal, "not a request"}
	if len(message) < 2 || len(message) > MaxMessage {
		return r, illegal
	}
	switch binary.BigEndian.Uint16(message) {
	case opRead:
	case opWrite:
		return r, &Error{CodeAccess, "read only"}
	default:
		return r, illegal
	}
	text := message[2:]
	word := func() (string, bool) {
		w, rest, ok := bytes.Cut(text, []byte{0})
		text = rest
		return string(w), ok
	}
	name, ok := word()
	if !ok || name == "" {
		return r, illegal
	}
	r.name = name
	if mode, ok := word(); !ok || !strings.EqualFold(mode, "octet") {
		return r, &Error{CodeIllegal, "only octet mode"}
	}
	for len(text) > 0 {
		option, ok := word()
		value, complete := word()
		if !ok || !complete {
			break
		}
		r.option(option, value)
	}
	return r, nil
}

// option takes an option with its value, or leaves it as one that this server does not know.
func (r *request) option(name, value string) {
	v, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return
	}
	switch strings.ToLower(name) {
	case "blksize":
		if v >= leastBlock && v <= mostBlock {
			r.block, r.has.block = int(v), true
		}
	case "windowsize":
		if v >= 1 && v <= 65535 {
			r.window, r.has.window = min(int(v), maxWindow), true
		}
	case "timeout":
		if v >= 1 && v <= 255 {
			r.timeout, r.has.timeout = time.Duration(v)*time.Second, true
		}
	case "tsize":
		r.has.size = true
	}
}

// appendOptions appends the message that agrees to the options of a request for a file of so many bytes; nothing if it had none.
func (r *request) appendOptions(b []byte, size int64) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, opOptions)
	empty := len(b)
	for _, o := range []struct {
		has   bool
		name  string
		value int64
	}{
		{r.has.block, "blksize", int64(r.block)}, {r.has.window, "windowsize", int64(r.window)},
		{r.has.timeout, "timeout", int64(r.timeout / time.Second)}, {r.has.size, "tsize", size},
	} {
		if o.has {
			b = append(append(b, o.name...), 0)
			b = append(strconv.AppendInt(b, o.value, 10), 0)
		}
	}
	if len(b) == empty {
		return b[:start]
	}
	return b
}
