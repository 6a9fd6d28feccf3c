package tools

import (
	"context"
	"fmt"
	"math"

	"github.com/sharevm/vmm/disk"
)

// room is a row of blocks of the disk, some of which are stored.
type room struct {
	base, blockSize, blocks int64
	stored                  func(block int64) bool
	drop                    blockSet // blocks of which nothing is needed
	unused                  blockSet // those of them that hold more than zeroes
}

// rooms returns what a survey has to know of arenas.
func rooms(arenas []disk.Arena) (list []*room) {
	for _, a := range arenas {
		list = append(list, &room{
			base: a.Base(), blockSize: a.BlockSize(), blocks: a.Blocks(), stored: func(b int64) bool { return a.Slot(b) >= 0 }, drop: blockSet{}, unused: blockSet{},
		})
	}
	return list
}

// survey looks at all blocks that are stored, in the order of the disk, and finds those that hold nothing but zeroes and what no file system uses.
type survey struct {
	ctx      context.Context
	image    disk.Image
	rooms    []*room
	progress Progress

	room  int   // the next block to judge is in this room
	block int64 // and has this number
	free  []span
	buf   []byte
}

func (c *compaction) survey(ctx context.Context, rooms []*room) *survey {
	return &survey{ctx: ctx, image: c.image, rooms: rooms, progress: c.o.Looking, buf: make([]byte, pieceSize)}
}

// run judges all blocks. Free yields what no file system uses, in ascending order.
func (s *survey) run(free func(context.Context, func(off, length int64) error) error) error {
	s.progress.report(0, s.image.Size())
	if err := free(s.ctx, s.unused); err != nil {
		return err
	}
	if err := s.judge(math.MaxInt64); err != nil {
		return err
	}
	s.progress.report(s.image.Size(), s.image.Size())
	return nil
}

// unused takes a run that no file system uses; all blocks that end before it can be judged.
func (s *survey) unused(off, length int64) error {
	if err := s.judge(off); err != nil {
		return err
	}
	s.free = append(s.free, span{off, off + length})
	return nil
}

// judge judges the blocks that end at or before a place.
func (s *survey) judge(before int64) error {
	for ; s.room < len(s.rooms); s.room, s.block = s.room+1, 0 {
		r := s.rooms[s.room]
		for ; s.block < r.blocks; s.block++ {
			from := r.base + s.block*r.blockSize
			to := min(from+r.blockSize, s.image.Size())
			if to > before {
				return nil
			}
			for len(s.free) > 0 && s.free[0].to <= from {
				s.free = s.free[1:]
			}
			if s.block%1024 == 0 {
				if s.ctx.Err() != nil {
					return context.Cause(s.ctx)
				}
				s.progress.report(from, s.image.Size())
			}
			if !r.stored(s.block) {
				continue
			}
			if err := s.judgeBlock(r, from, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// judgeBlock decides on a block at [from, to) of the disk.
func (s *survey) judgeBlock(r *room, from, to int64) error {
	unused, at := false, from
	for _, f := range s.free {
		if f.from >= to {
			break
		}
		zero, err := s.zero(at, min(max(at, f.from), to))
		if err != nil || !zero {
			return err
		}
		unused, at = true, max(at, f.to)
	}
	zero, err := s.zero(at, to)
	if err != nil || !zero {
		return err
	}
	r.drop.add(s.block)
	if unused {
		if zero, err = s.zero(from, to); err != nil {
			return err
		}
		if !zero {
			r.unused.add(s.block)
		}
	}
	return nil
}

// zero says whether [from, to) of the disk reads as zeroes. It reads little at first, since most blocks tell soon that they do not.
func (s *survey) zero(from, to int64) (bool, error) {
	for n := int64(finestHole); from < to; n = min(n*8, int64(len(s.buf))) {
		if s.ctx.Err() != nil {
			return false, context.Cause(s.ctx)
		}
		p := s.buf[:min(n, to-from)]
		if _, err := s.image.ReadAt(p, from); err != nil {
			return false, failed("read", s.image.Info().Path, err)
		}
		if !isZero(p) {
			return false, nil
		}
		from += int64(len(p))
	}
	return true, nil
}

// estimate finds out what arrange would drop, by what is stored in an image that is open for reading only.
func (c *compaction) estimate(ctx context.Context) error {
	r := &room{blockSize: c.image.Info().BlockSize, drop: blockSet{}, unused: blockSet{}}
	if r.blockSize <= 0 {
		return fmt.Errorf("%s: %w: it does not say how large its blocks are", c.image.Info().Path, disk.ErrUnsupported)
	}
	r.blocks = (c.image.Size() + r.blockSize - 1) / r.blockSize
	here := blockSet{}
	r.stored = here.has
	if err := walk(ctx, c.image, 0, c.image.Size(), func(e disk.Extent) error {
		if e.Kind == disk.Data && e.Depth == 0 {
			for b := e.Offset / r.blockSize; b*r.blockSize < e.Offset+e.Length; b++ {
				here.add(b)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := c.survey(ctx, []*room{r}).run(c.free); err != nil {
		return err
	}
	for b := range r.blocks {
		n := min(r.blockSize, c.image.Size()-b*r.blockSize)
		switch {
		case r.unused.has(b):
			c.r.Free += n
		case r.drop.has(b):
			c.r.Zero += n
		}
	}
	c.dropped = r
	return nil
}
