package tools

import (
	"context"
	"errors"
	"fmt"

	"github.com/sharevm/vmm/disk"
)

// DefragOptions says how to defragment.
type DefragOptions struct {
	Open   disk.OpenOptions
	DryRun bool // count the fragments, and change nothing
	// Moving is told how far the work has come.
	Moving Progress
}

// Defragmented is what Defrag did.
type Defragmented struct {
	Blocks        int64 // that are stored
	Before, After int64 // runs of blocks that lie one behind the other as they do on the disk
	Moved         int64 // bytes, those that were moved twice counted twice
}

// scratchBytes is how much room Defrag takes behind the blocks at most, and so how much it moves between two syncs.
const scratchBytes = 256 << 20

// Defrag brings the blocks that an image stores into the order of the disk, in place. It can be interrupted at any moment: the image is sound, and what
// was done until then stays.
func Defrag(ctx context.Context, path string, o DefragOptions) (r *Defragmented, err error) {
	o.Open.KeepIdentity = true // what nobody can see changes for nobody
	i, _, err := openSole(ctx, path, o.Open, o.DryRun)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	switch info := i.Info(); {
	case preallocated(info):
		return nil, fmt.Errorf("%s: %w: %s images are preallocated, their blocks are in order already", path, disk.ErrUnsupported, formatOf(info))
	case info.Variant == streamVariant:
		return nil, fmt.Errorf("%s: %w: its blocks are compressed and cannot be moved; compact makes it anew, in order", path, disk.ErrUnsupported)
	}
	arenas, err := arenasOf(i)
	if errors.Is(err, disk.ErrReadOnly) && o.DryRun {
		return countFragments(ctx, i)
	}
	if err != nil {
		return nil, err
	}
	return defrag(ctx, arenas, o, scratchBytes)
}

// defrag brings the blocks of all arenas in order, with at most so many bytes behind them.
func defrag(ctx context.Context, arenas []disk.Arena, o DefragOptions, scratch int64) (*Defragmented, error) {
	r := &Defragmented{}
	var orders []*order
	total, done := int64(0), int64(0)
	for _, a := range arenas {
		d, err := newOrder(a)
		if err != nil {
			return nil, err
		}
		orders = append(orders, d)
		r.Blocks += d.stored
		r.Before += d.fragments()
		total += d.stored * a.BlockSize()
	}
	if r.After = r.Before; o.DryRun {
		return r, nil
	}
	r.After = 0
	o.Moving.report(0, total)
	for _, d := range orders {
		size := d.arena.BlockSize()
		err := d.run(ctx, max(1, scratch/size), func(settled int64) { o.Moving.report(done+settled*size, total) })
		// The order is kept even if it is not complete, and the room behind the blocks is given back.
		if err := errors.Join(err, d.arena.Flush(), d.arena.Trim()); err != nil {
			return nil, err
		}
		done += d.stored * size
		r.Moved += d.moved * size
		r.After += d.fragments()
	}
	o.Moving.report(total, total)
	return r, nil
}

// countFragments does so by what an image that is open for reading says of its extents.
func countFragments(ctx context.Context, i disk.Image) (*Defragmented, error) {
	r, size := &Defragmented{}, i.Info().BlockSize
	next, shift, counted := int64(-1), int64(0), int64(0)
	err := walk(ctx, i, 0, i.Size(), func(e disk.Extent) error {
		if e.Kind != disk.Data || e.Depth != 0 {
			return nil
		}
		// Inside of a block there may be holes of the host's file.
		if e.Host != next && (next < 0 || e.Host-e.Offset != shift) {
			r.Before++
		}
		next, shift = e.Host+e.Length, e.Host-e.Offset
		if size > 0 {
			first, end := max(counted, e.Offset/size), (e.Offset+e.Length+size-1)/size
			r.Blocks += max(0, end-first)
			counted = max(counted, end)
		}
		return nil
	})
	r.After = r.Before
	return r, err
}
