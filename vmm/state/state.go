// Package state is how a device writes itself into a snapshot and reads itself back: a flat little-endian
// stream with a name and a version in front of each device, strict on reading since a snapshot is hostile input.
package state

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Device is anything whose state goes into a snapshot. The board calls Pause, then Save, and Resume; or, on a fresh device of
// the same configuration, Restore and then Resume.
type Device interface {
	// Pause stops the device's workers at a point where no request is half done. It is idempotent.
	Pause()
	// Save appends the state of a paused device.
	Save(w *Writer)
	// Restore takes the state from r and checks it like guest input: an impossible value is an error.
	Restore(r *Reader) error
	// Resume starts the workers again. They look for work that arrived in the meantime.
	Resume()
}

// ErrCorrupt is wrapped by every error of a Reader.
var ErrCorrupt = errors.New("corrupt device state")

// MaxBytes bounds one Bytes field.
const MaxBytes = 64 << 20

// Writer collects a device's state.
type Writer struct {
	buf []byte
	// Aside, if not nil, takes what Pages is given.
	Aside *Aside
}

// Data returns what has been written.
func (w *Writer) Data() []byte { return w.buf }

// U8 appends a byte.
func (w *Writer) U8(v uint8) { w.buf = append(w.buf, v) }

// Bool appends a flag.
func (w *Writer) Bool(v bool) {
	if v {
		w.U8(1)
	} else {
		w.U8(0)
	}
}

// U16 appends a 16-bit number.
func (w *Writer) U16(v uint16) { w.buf = binary.LittleEndian.AppendUint16(w.buf, v) }

// U32 appends a 32-bit number.
func (w *Writer) U32(v uint32) { w.buf = binary.LittleEndian.AppendUint32(w.buf, v) }

// U64 appends a 64-bit number.
func (w *Writer) U64(v uint64) { w.buf = binary.LittleEndian.AppendUint64(w.buf, v) }

// Bytes appends a length (32 bits) and p.
func (w *Writer) Bytes(p []byte) {
	w.U32(uint32(len(p)))
	w.buf = append(w.buf, p...)
}

// Version appends a device's name and the version of its layout.
func (w *Writer) Version(name string, version uint16) {
	w.Bytes([]byte(name))
	w.U16(version)
}

// Reader takes a device's state apart. The first failure sticks: later calls return zeroes, and Err reports it.
type Reader struct {
	buf []byte
	err error
	// Aside is what the Writer had.
	Aside *Aside
}

// NewReader reads from data.
func NewReader(data []byte) *Reader { return &Reader{buf: data} }

// Err returns the first failure, or nil.
func (r *Reader) Err() error { return r.err }

// Fail records a failure that the caller found, such as a value out of range.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
	}
}

func (r *Reader) take(n int) []byte {
	if r.err == nil && n > len(r.buf) {
		r.Fail("%d bytes wanted, %d left", n, len(r.buf))
	}
	if r.err != nil {
		return nil
	}
	p := r.buf[:n]
	r.buf = r.buf[n:]
	return p
}

// U8 returns the next byte.
func (r *Reader) U8() uint8 {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

// Bool returns the next flag; anything but 0 and 1 is a failure.
func (r *Reader) Bool() bool {
	v := r.U8()
	if v > 1 {
		r.Fail("flag is %d", v)
	}
	return v == 1
}

// U16 returns the next 16-bit number.
func (r *Reader) U16() uint16 {
	if p := r.take(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

// U32 returns the next 32-bit number.
func (r *Reader) U32() uint32 {
	if p := r.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

// U64 returns the next 64-bit number.
func (r *Reader) U64() uint64 {
	if p := r.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

// Bytes returns the next field of at most max bytes. It shares memory with the data given to NewReader.
func (r *Reader) Bytes(max int) []byte {
	n := r.U32()
	if int64(n) > int64(min(max, MaxBytes)) {
		r.Fail("field of %d bytes, at most %d expected", n, max)
		return nil
	}
	return r.take(int(n))
}

// Version checks the device's name and returns the version, which must be in 1..newest.
func (r *Reader) Version(name string, newest uint16) uint16 {
	if got := r.Bytes(64); r.err == nil && string(got) != name {
		r.Fail("state of %q where %q was expected", got, name)
	}
	v := r.U16()
	if r.err == nil && (v == 0 || v > newest) {
		r.Fail("%s: version %d, this program knows 1 to %d", name, v, newest)
	}
	return v
}
