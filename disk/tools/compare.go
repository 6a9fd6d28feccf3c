package tools

import (
	"bytes"
	"context"
	"errors"

	"github.com/sharevm/vmm/disk"
)

// Difference is where two disks first differ.
type Difference struct {
	Offset int64
	// Sizes says that one disk ends at Offset, up to which they are the same.
	Sizes bool
}

// errDiffer ends a comparison.
var errDiffer = errors.New("the disks differ")

// CompareOptions says what Compare lets pass.
type CompareOptions struct {
	// Pad lets the shorter disk count as if zeroes followed it.
	Pad      bool
	Progress Progress
}

// Compare returns the first difference between the contents of a and b, or nil. How they are stored does not matter; where neither stores anything,
// nothing is read.
func Compare(ctx context.Context, a, b disk.Image, o CompareOptions) (*Difference, error) {
	if a.Size() > b.Size() {
		a, b = b, a
	}
	size, longest := a.Size(), b.Size()
	total := size
	if o.Pad {
		total = longest
	}
	var d *Difference
	err := pipeline{
		buffers: 2,
		produce: func(emit func(off, length int64) error) error {
			if err := either(ctx, a, b, size, emit); err != nil || !o.Pad {
				return err
			}
			return walk(ctx, b, size, longest-size, func(e disk.Extent) error {
				if e.Kind != disk.Data {
					return nil
				}
				return emit(e.Offset, e.Length)
			})
		},
		work: func(c *piece) error {
			n := int(max(min(size-c.off, int64(len(c.buf))), 0))
			if err := read(a, c.buf[:n], c.off); err != nil {
				return err
			}
			clear(c.buf[n:])
			if err := read(b, c.other, c.off); err != nil {
				return err
			}
			if !bytes.Equal(c.buf, c.other) {
				c.runs = append(c.runs, run{from: firstDifference(c.buf, c.other)})
			}
			return nil
		},
		consume: func(c *piece) error {
			if len(c.runs) > 0 {
				d = &Difference{Offset: c.off + int64(c.runs[0].from)}
				return errDiffer
			}
			o.Progress.report(c.off+int64(len(c.buf)), total)
			return nil
		},
	}.run(ctx)
	if errors.Is(err, errDiffer) {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	o.Progress.report(total, total)
	if size != longest && !o.Pad {
		return &Difference{Offset: size, Sizes: true}, nil
	}
	return nil, nil
}

func read(i disk.Image, p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := i.ReadAt(p, off); err != nil {
		return failed("read", i.Info().Path, err)
	}
	return nil
}

// firstDifference is the index of the first byte that differs; there is one.
func firstDifference(a, b []byte) int {
	for k := range a {
		if a[k] != b[k] {
			return k
		}
	}
	return len(a)
}

// either calls yield for the ranges of [0, size) that a or b stores, in order.
func either(ctx context.Context, a, b disk.Image, size int64, yield func(off, length int64) error) error {
	return walk(ctx, a, 0, size, func(e disk.Extent) error {
		if e.Kind == disk.Data {
			return yield(e.Offset, e.Length)
		}
		return walk(ctx, b, e.Offset, e.Length, func(e disk.Extent) error {
			if e.Kind == disk.Data {
				return yield(e.Offset, e.Length)
			}
			return nil
		})
	})
}
