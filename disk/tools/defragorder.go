package tools

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/sharevm/vmm/disk"
)

// order is an arena on its way to have its stored blocks in the first slots, in the order of the disk.
//
// Window by window from the first slot on, whoever lies there and does not belong there is moved out, behind the window, and then those that belong there
// are moved in. Between the two is a Flush, which makes the slots that were left free. So each block moves twice at most. All that is settled
// lies before the window; behind it there are as many free slots as the limit is beyond the number of blocks, less those in the
// window, so that a window no longer than that always works out.
type order struct {
	arena  disk.Arena
	stored int64
	owner  []uint32 // by slot: the block that lies there, plus one; 0 where none is
	gaps   []uint32 // slots in owner that are free since the last Flush, and maybe some that are settled
	limit  int64    // slots from here on are not used
	moved  int64    // blocks
}

func newOrder(a disk.Arena) (*order, error) {
	if a.Blocks() >= math.MaxUint32 || a.Slots() >= math.MaxUint32 {
		return nil, fmt.Errorf("%s: %w: too many blocks (%d)", a.Name(), disk.ErrUnsupported, a.Blocks())
	}
	d := &order{arena: a, owner: make([]uint32, a.Slots())}
	for b := range a.Blocks() {
		if s := a.Slot(b); s >= 0 {
			d.stored++
			d.owner[s] = uint32(b) + 1
		}
	}
	return d, nil
}

// fragments counts the runs of blocks that lie one behind the other as on the disk.
func (d *order) fragments() (n int64) {
	next := int64(-1)
	for b := range d.arena.Blocks() {
		s := d.arena.Slot(b)
		if s < 0 {
			continue
		}
		if s != next {
			n++
		}
		next = s + 1
	}
	return n
}

// run brings the blocks in order, with up to scratch slots behind them. It reports how many are settled.
func (d *order) run(ctx context.Context, scratch int64, settled func(int64)) error {
	d.limit = d.stored + scratch
	d.findGaps()
	block := int64(0) // that may come next
	for start := int64(0); start < d.stored; {
		block = d.next(block)
		if d.arena.Slot(block) == start {
			start, block = start+1, block+1
			continue
		}
		settled(start)
		length := min(d.limit-d.stored, d.stored-start)
		if length <= 0 {
			return fmt.Errorf("%s: %w: all room that the format has for blocks is in use, so that none can be moved; make the disk larger by one block (%d bytes) first",
				d.arena.Name(), disk.ErrFull, d.arena.BlockSize())
		}
		err := d.evict(ctx, start, start+length, block)
		if errors.Is(err, errLowered) {
			continue
		}
		if err == nil {
			block, err = d.fill(ctx, start, start+length, block)
		}
		if err != nil {
			return err
		}
		start += length
	}
	settled(d.stored)
	return nil
}

// findGaps lists the free slots between those that are in use.
func (d *order) findGaps() {
	d.gaps = d.gaps[:0]
	for s, owner := range d.owner {
		if owner == 0 && int64(s) < d.limit {
			d.gaps = append(d.gaps, uint32(s))
		}
	}
}

// next returns the first stored block from b on; there is one.
func (d *order) next(b int64) int64 {
	for d.arena.Slot(b) < 0 {
		b++
	}
	return b
}

// errLowered says that the limit was found to be lower, and that what was moved out is flushed.
var errLowered = errors.New("fewer slots than thought")

// evict moves those out of slots [start, end) that do not belong there. The first block that does is given.
func (d *order) evict(ctx context.Context, start, end, block int64) error {
	for slot := start; slot < end; slot, block = slot+1, block+1 {
		block = d.next(block)
		if slot >= int64(len(d.owner)) || d.owner[slot] == 0 || int64(d.owner[slot])-1 == block {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		to := d.gap(end)
		err := d.move(int64(d.owner[slot])-1, to)
		if errors.Is(err, disk.ErrFull) && to == int64(len(d.owner)) { // a format that numbers its slots no further than its blocks
			if err := d.arena.Flush(); err != nil {
				return err
			}
			d.limit = to
			d.findGaps()
			return errLowered
		}
		if err != nil {
			return err
		}
	}
	return d.arena.Flush()
}

// gap takes a free slot from end on, which is not beyond the slots that are known.
func (d *order) gap(end int64) int64 {
	for n := len(d.gaps) - 1; n >= 0; n-- {
		s := int64(d.gaps[n])
		d.gaps = d.gaps[:n]
		if s >= end {
			return s
		}
	}
	return int64(len(d.owner))
}

// fill moves the blocks in that belong into slots [start, end), and returns the one after them. All of these slots are free or settled.
func (d *order) fill(ctx context.Context, start, end, block int64) (int64, error) {
	var left []uint32
	for slot := start; slot < end; slot, block = slot+1, block+1 {
		block = d.next(block)
		from := d.arena.Slot(block)
		if from == slot {
			continue
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if err := d.move(block, slot); err != nil {
			return 0, err
		}
		left = append(left, uint32(from))
	}
	if err := d.arena.Flush(); err != nil {
		return 0, err
	}
	for _, s := range left {
		if int64(s) < d.limit {
			d.gaps = append(d.gaps, s)
		}
	}
	return block, nil
}

// move moves a block.
func (d *order) move(block, to int64) error {
	from := d.arena.Slot(block)
	if err := d.arena.Move(block, to); err != nil {
		return fmt.Errorf("%s: move a block: %w", d.arena.Name(), err)
	}
	if to == int64(len(d.owner)) {
		d.owner = append(d.owner, 0)
	}
	d.owner[from], d.owner[to] = 0, uint32(block)+1
	d.moved++
	return nil
}
