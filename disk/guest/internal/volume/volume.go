// Package volume holds what the readers of guest file systems share: how they refuse a volume, how they read a bounded piece of it, and
// how they find runs of clear bits.
package volume

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// Yield takes a run of free bytes, counted from the volume's start.
type Yield func(off, length int64) error

// Refusal is why a volume's free space cannot be told, in words for people.
type Refusal struct{ Reason string }

func (r *Refusal) Error() string { return r.Reason }

// Refuse returns a [Refusal].
func Refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// Reason returns the words of a [Refusal] within err, or "" if err is of another kind.
func Reason(err error) string {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

// Reader is a volume: a run of bytes of a disk.
type Reader struct {
	R    io.ReaderAt
	Size int64 // bytes
}

// Read fills p from off. A range outside the volume, which only a damaged file system can ask for, is a Refusal.
func (r Reader) Read(ctx context.Context, p []byte, off int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if off < 0 || off > r.Size || int64(len(p)) > r.Size-off {
		return Refuse("it is damaged: something lies at byte %d, outside the volume of %d bytes", off, r.Size)
	}
	n, err := r.R.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d of the volume: %w", len(p), off, err)
}

// ClearBits calls yield for each run of clear bits among the first n of bitmap, whose lowest bit comes first.
func ClearBits(bitmap []byte, n int64, yield func(first, count int64) error) error {
	for at := int64(0); at < n; {
		first := nextBit(bitmap, at, n, false)
		if first == n {
			return nil
		}
		at = nextBit(bitmap, first, n, true)
		if err := yield(first, at-first); err != nil {
			return err
		}
	}
	return nil
}

// nextBit returns the first bit from at on that is set, or clear, or n.
func nextBit(bitmap []byte, at, n int64, set bool) int64 {
	var flip uint64
	if !set {
		flip = ^uint64(0)
	}
	for at < n {
		byteAt := at / 8
		if at%8 == 0 && n-at >= 64 {
			w := binary.LittleEndian.Uint64(bitmap[byteAt:]) ^ flip
			if w != 0 {
				return at + int64(bits.TrailingZeros64(w))
			}
			at += 64
			continue
		}
		if (bitmap[byteAt]^byte(flip))>>(at%8)&1 != 0 {
			return at
		}
		at++
	}
	return n
}

// Merger joins adjacent runs before it passes them on.
type Merger struct {
	Yield       Yield
	off, length int64
}

// Add takes the next run.
func (m *Merger) Add(off, length int64) error {
	if length == 0 {
		return nil
	}
	if m.length > 0 && m.off+m.length == off {
		m.length += length
		return nil
	}
	err := m.Flush()
	m.off, m.length = off, length
	return err
}

// Flush passes on the last run. Call it at the end.
func (m *Merger) Flush() error {
	if m.length == 0 {
		return nil
	}
	off, length := m.off, m.length
	m.length = 0
	return m.Yield(off, length)
}
