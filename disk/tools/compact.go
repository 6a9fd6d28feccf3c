package tools

import (
	"context"
	"errors"
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/guest"
	"github.com/sharevm/vmm/disk/guest/partition"
)

// CompactOptions says how to compact.
type CompactOptions struct {
	Open disk.OpenOptions
	// Free gives back what the guest's file systems do not use, too.
	Free bool
	// LoseShadowCopies does so with an NTFS that has restore points, which are damaged by it.
	LoseShadowCopies bool
	DryRun           bool // find out what there is to give back, and change nothing
	// Looking and Moving are told how far each step has come.
	Looking, Moving Progress
}

// Compacted is what Compact did.
type Compacted struct {
	// Zero and Free are bytes of the disk that are no longer stored: because they were zeroes, and because no file system uses them.
	Zero, Free int64
	Moved      int64 // bytes that went from the end of the files into gaps
	Kept       int64 // bytes that could not be dropped, because a parent would shine through
	// Before and After are the bytes that the image's own files take on the host.
	Before, After int64
	// Skipped says why a partition's free space was left alone, one sentence each.
	Skipped  []string
	Warnings []string
}

// Compact gives back to the host what the disk stores for nothing, in place. The disk's content stays as it is, except that with Free what no file system
// uses may read as zeroes. It can be interrupted at any moment: what was done until then stays.
func Compact(ctx context.Context, path string, o CompactOptions) (r *Compacted, err error) {
	o.Open.KeepIdentity = !o.Free // what nobody can see changes for nobody
	i, parents, err := openSole(ctx, path, o.Open, o.DryRun)
	if err != nil {
		return nil, err
	}
	closed := false
	defer func() {
		if !closed {
			err = errors.Join(err, i.Close())
		}
	}()
	c := &compaction{o: o, image: i, r: &Compacted{Warnings: i.Info().Warnings}}
	info, before, err := apart(i.Info(), parents)
	if err != nil {
		return nil, err
	}
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	closed = true
	if err := i.Close(); err != nil {
		return nil, err
	}
	c.r.Before = before
	if c.r.After, err = used(info.Files); err != nil {
		return nil, err
	}
	return c.r, nil
}

// compaction is one image at work.
type compaction struct {
	o      CompactOptions
	image  disk.Image
	r      *Compacted
	layout *guest.Layout // nil unless free space is to go, too
	// dropped are the blocks that an estimate has counted; nil when they are really gone.
	dropped *room
	// within says that holes are punched inside of blocks: their zeroes may be holes already, and do not count.
	within bool
}

func (c *compaction) run(ctx context.Context) error {
	if c.o.Free {
		if err := c.scan(ctx); err != nil {
			return err
		}
	}
	info := c.image.Info()
	arenas, err := arenasOf(c.image)
	switch {
	case info.Variant == streamVariant:
		err = c.rewrite(ctx)
	case preallocated(info):
		err = c.punch(ctx)
	case c.o.DryRun && (err == nil || errors.Is(err, disk.ErrReadOnly)):
		err = c.estimate(ctx)
	case err == nil:
		err = c.arrange(ctx, arenas)
	}
	if err == nil && info.BlockSize > largeBlock && info.Parent == "" && !preallocated(info) {
		c.within = true
		err = c.punch(ctx)
	}
	c.explain()
	return err
}

// largeBlock is the size of blocks from which on it pays to give back parts of them, as holes in the host's file: a block of Hyper-V's is seldom
// free as a whole.
const largeBlock = 256 << 10

// scan finds the guest's file systems.
func (c *compaction) scan(ctx context.Context) error {
	info := c.image.Info()
	sectorSize := info.SectorSize
	if sectorSize != 4096 {
		sectorSize = 0 // a format that does not record it says 512
	}
	l, err := guest.Scan(ctx, c.image, c.image.Size(), sectorSize)
	if errors.Is(err, partition.ErrDamaged) {
		c.r.Skipped = append(c.r.Skipped, fmt.Sprintf("Only zeroes are given back: %v.", err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: look for its file systems: %w", info.Path, err)
	}
	l.LoseShadowCopies = c.o.LoseShadowCopies
	c.layout = l
	return nil
}

// free calls yield for the runs that no file system uses.
func (c *compaction) free(ctx context.Context, yield func(off, length int64) error) error {
	if c.layout == nil {
		return nil
	}
	if err := c.layout.Free(ctx, yield); err != nil {
		return fmt.Errorf("%s: find what its file systems do not use: %w", c.image.Info().Path, err)
	}
	return nil
}

// explain notes which partitions were left alone.
func (c *compaction) explain() {
	if c.layout == nil {
		return
	}
	for k := range c.layout.Partitions {
		if p := &c.layout.Partitions[k]; p.Reason != "" && !p.Container {
			c.r.Skipped = append(c.r.Skipped, fmt.Sprintf("The free space of %s was left alone: %s.", describePartition(p), p.Reason))
		}
	}
}

// arrange drops blocks, moves others into the gaps, and cuts the files.
func (c *compaction) arrange(ctx context.Context, arenas []disk.Arena) error {
	s := c.survey(ctx, rooms(arenas))
	if err := s.run(c.free); err != nil {
		return err
	}
	for k, a := range arenas {
		if err := c.drop(ctx, a, s.rooms[k]); err != nil {
			return err
		}
		if err := a.Flush(); err != nil {
			return err
		}
	}
	total, done := int64(0), int64(0)
	for _, a := range arenas {
		total += surplus(a) * a.BlockSize()
	}
	c.o.Moving.report(0, total)
	for _, a := range arenas {
		err := c.lower(ctx, a, func() {
			done += a.BlockSize()
			c.r.Moved += a.BlockSize()
			c.o.Moving.report(done, total)
		})
		// Whatever came of it, what was moved is not needed behind it.
		if err := errors.Join(err, a.Flush()); err != nil {
			return err
		}
		if err := a.Trim(); err != nil {
			return err
		}
	}
	c.o.Moving.report(total, total)
	return nil
}

// drop gives up the blocks that a survey found.
func (c *compaction) drop(ctx context.Context, a disk.Arena, found *room) error {
	for b := range a.Blocks() {
		if !found.drop.has(b) {
			continue
		}
		if ctx.Err() != nil {
			return errors.Join(context.Cause(ctx), a.Flush())
		}
		n := min(a.BlockSize(), c.image.Size()-a.Base()-b*a.BlockSize())
		err := a.Drop(b)
		switch {
		case errors.Is(err, disk.ErrUnsupported):
			c.r.Kept += n
		case err != nil:
			return err
		case found.unused.has(b):
			c.r.Free += n
		default:
			c.r.Zero += n
		}
	}
	return nil
}

// storedIn counts the blocks that an arena stores.
func storedIn(a disk.Arena) (n int64) {
	for b := range a.Blocks() {
		if a.Slot(b) >= 0 {
			n++
		}
	}
	return n
}

// surplus counts the blocks that lie behind where they all would fit.
func surplus(a disk.Arena) (n int64) {
	fit := storedIn(a)
	for b := range a.Blocks() {
		if a.Slot(b) >= fit {
			n++
		}
	}
	return n
}

// lower moves blocks from the end of the file into the gaps before, in the order of the disk. It calls moved after each.
func (c *compaction) lower(ctx context.Context, a disk.Arena, moved func()) error {
	fit := storedIn(a)
	taken := blockSet{}
	for b := range a.Blocks() {
		if s := a.Slot(b); s >= 0 && s < fit {
			taken.add(s)
		}
	}
	gap := int64(0)
	for b := range a.Blocks() {
		if a.Slot(b) < fit {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for taken.has(gap) {
			gap++
		}
		if err := a.Move(b, gap); err != nil {
			return err
		}
		gap++
		moved()
	}
	return nil
}
