package tools

import (
	"context"
	"fmt"
	"slices"

	"github.com/sharevm/vmm/disk"
)

// punch makes holes in the files of an image, where it holds zeroes and what no file system uses.
func (c *compaction) punch(ctx context.Context) error {
	free, err := c.freeList(ctx)
	if err != nil {
		return err
	}
	if !c.within {
		c.r.Warnings = append(c.r.Warnings, "The disk was preallocated; the host gives it space again when the guest writes to what was given back.")
	}
	size := c.image.Size()
	c.o.Looking.report(0, size)
	err = pipeline{
		buffers: 1,
		produce: func(emit func(off, length int64) error) error { return stored(ctx, c.image, finestHole, emit) },
		work: func(p *piece) error {
			if _, err := c.image.ReadAt(p.buf, p.off); err != nil {
				return failed("read", c.image.Info().Path, err)
			}
			return nil
		},
		consume: func(p *piece) error {
			c.o.Looking.report(p.off, size)
			return c.punchPiece(p, free)
		},
	}.run(ctx)
	if err == nil && !c.o.DryRun {
		err = c.image.Flush()
	}
	c.o.Looking.report(size, size)
	return err
}

// freeList returns what no file system uses, in whole pages.
func (c *compaction) freeList(ctx context.Context) (list []span, err error) {
	err = c.free(ctx, func(off, length int64) error {
		s := span{(off + finestHole - 1) / finestHole * finestHole, (off + length) / finestHole * finestHole}
		if s.from < s.to {
			list = append(list, s)
		}
		return nil
	})
	return list, err
}

// punchPiece gives back the pages of a piece that are zeroes or free.
func (c *compaction) punchPiece(p *piece, free []span) error {
	end := p.off + int64(len(p.buf))
	from := int64(-1) // of the hole that is growing
	for at := p.off; at <= end; at += finestHole {
		give, page := false, p.buf[min(at, end)-p.off:min(at+finestHole, end)-p.off]
		if len(page) > 0 {
			zero := isZero(page)
			give = zero || within(free, at, at+int64(len(page)))
			switch {
			case c.within && (zero || c.dropped != nil && c.dropped.drop.has(at/c.dropped.blockSize)):
			case zero:
				c.r.Zero += int64(len(page))
			case give:
				c.r.Free += int64(len(page))
			}
		}
		switch {
		case give && from < 0:
			from = at
		case !give && from >= 0:
			if !c.o.DryRun {
				if err := c.image.WriteZeroes(from, min(at, end)-from, true); err != nil {
					return fmt.Errorf("punch a hole in %s: %w", c.image.Info().Path, err)
				}
			}
			from = -1
		}
	}
	return nil
}

// within says whether [from, to) lies in one of the spans, which are sorted.
func within(list []span, from, to int64) bool {
	k, _ := slices.BinarySearchFunc(list, from, func(s span, from int64) int {
		if s.to <= from {
			return -1
		}
		return 1
	})
	return k < len(list) && list[k].from <= from && to <= list[k].to
}

// masked is an image in which some ranges, whole pages, read as zeroes.
type masked struct {
	disk.Image
	free []span
}

func (m masked) ReadAt(p []byte, off int64) (int, error) {
	n, err := m.Image.ReadAt(p, off)
	if err != nil {
		return n, err
	}
	k, _ := slices.BinarySearchFunc(m.free, off, func(s span, off int64) int {
		if s.to <= off {
			return -1
		}
		return 1
	})
	for end := off + int64(len(p)); k < len(m.free) && m.free[k].from < end; k++ {
		clear(p[max(off, m.free[k].from)-off : min(end, m.free[k].to)-off])
	}
	return n, nil
}
