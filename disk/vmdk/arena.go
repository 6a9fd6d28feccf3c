package vmdk

import (
	"fmt"
	"slices"
	"sort"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/relocate"
	"github.com/sharevm/vmm/disk/internal/space"
)

const (
	// arenaWindow is how many grains' worth of a file is put in order at a time, which bounds memory.
	arenaWindow = 4 << 20
	// maxRuns bounds the list of stretches of slots. Any program's file has a few.
	maxRuns = 1 << 20
)

var _ disk.Arrangeable = (*Image)(nil)

// Arenas implements [disk.Arrangeable] for hosted sparse extents that are for writing.
func (i *Image) Arenas() ([]disk.Arena, error) {
	if err := i.changeable(); err != nil {
		return nil, err
	}
	var out []disk.Arena
	var reason error
	base := int64(0)
	for _, p := range i.parts {
		start, size := base, p.Sectors*sectorSize
		base += size
		s, ok := p.writable.(sparseSpace)
		switch {
		case p.flat():
			reason = fmt.Errorf("%s: %w: its storage is preallocated, in order and in full", i.info.Path, disk.ErrUnsupported)
			continue
		case p.writable != nil && !ok:
			reason = fmt.Errorf("%s: %w: a streamOptimized disk is packed when it is written; convert it into a new one instead", i.info.Path, disk.ErrUnsupported)
			continue
		case !ok || size == 0:
			continue
		}
		a := &arena{sparseSpace: s, image: i, base: start, size: size}
		if err := a.survey(); err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	if len(out) == 0 {
		return nil, reason
	}
	return out, nil
}

// run is a stretch of adjacent slots.
type run struct {
	start int64 // file offset
	slot  int64 // number of the first
	count int64
}

// arena is a sparse extent's room for grains. Other programs put grains at any sector: each is in a slot where it is, and what lies between
// is cut into slots.
type arena struct {
	sparseSpace
	image *Image
	base  int64
	size  int64
	runs  []run
	slots int64
	tail  int64 // file offset of slot number slots
}

var _ disk.Arena = (*arena)(nil)

// Name implements [disk.Arena].
func (a *arena) Name() string { return a.table.file.Name() }

// BlockSize implements [disk.Arena].
func (a *arena) BlockSize() int64 { return a.table.grainBytes() }

// Base implements [disk.Arena].
func (a *arena) Base() int64 { return a.base }

// Blocks implements [disk.Arena].
func (a *arena) Blocks() int64 { return (a.size + a.table.grainBytes() - 1) >> a.table.shift }

// Slots implements [disk.Arena].
func (a *arena) Slots() int64 { return a.slots }

// survey divides the file into slots.
func (a *arena) survey() error {
	t := a.table
	a.runs, a.slots, t.free = nil, 0, nil
	scan := newExtentCheck(t)
	defer scan.release()
	d := divider{arena: a, free: scan.reserved(), grain: t.grainBytes()}
	var grains []uint32
	step := int64(arenaWindow) << t.shift
	for from := int64(0); from < t.length; from += step {
		grains = grains[:0]
		scan.unreadable = 0
		err := scan.eachGrain(func(e uint32) {
			if at := int64(e) * sectorSize; at >= from && at < from+step && len(grains) <= arenaWindow {
				grains = append(grains, e)
			}
		})
		if err != nil {
			return err
		}
		if scan.unreadable > 0 || t.damaged != nil {
			return disk.Corrupt(t.file.Name(), -1, "some of its tables are damaged, so that nobody knows what room is free; repair it first")
		}
		slices.Sort(grains)
		for _, e := range grains {
			if err := d.add(int64(e) * sectorSize); err != nil {
				return err
			}
		}
	}
	return d.finish()
}

// divider cuts a file into slots, from its start on.
type divider struct {
	*arena
	grain int64
	free  int64 // where the first slot may start that is not a grain's
	at    int64 // behind what was seen last
	held  bool  // which was a grain
	meta  int   // tables seen so far
}

// add takes in the next grain.
func (d *divider) add(start int64) error {
	if err := d.skip(start); err != nil {
		return err
	}
	if start < d.at {
		return disk.Corrupt(d.Name(), start, "two grains share this place; check the disk")
	}
	n := max(0, start-max(d.at, d.free)) / d.grain
	d.at, d.held = start+d.grain, true
	return d.append(start-n*d.grain, n+1)
}

// skip takes in the tables before limit.
func (d *divider) skip(limit int64) error {
	for meta := d.table.meta; d.meta < len(meta) && meta[d.meta].start < limit; d.meta++ {
		if err := d.gap(meta[d.meta].start); err != nil {
			return err
		}
		d.at, d.held = max(d.at, meta[d.meta].end), false
	}
	return nil
}

// gap makes slots up to limit, in line with the grain before them or, without one, aligned.
func (d *divider) gap(limit int64) error {
	at := max(d.at, d.free)
	if !d.held || at != d.at {
		at = d.table.alignUp(at)
	}
	n := max(0, limit-at) / d.grain
	if n > 0 {
		d.at, d.held = at+n*d.grain, true
	}
	return d.append(at, n)
}

// finish takes in what is behind the last grain.
func (d *divider) finish() error {
	t := d.table
	if err := d.skip(t.length); err != nil {
		return err
	}
	if err := d.gap(t.length); err != nil {
		return err
	}
	d.tail = max(d.at, d.free)
	if !d.held || d.tail != d.at {
		d.tail = t.alignUp(d.tail)
	}
	return nil
}

// append adds n slots from a place in the file on.
func (a *arena) append(start, n int64) error {
	if n == 0 {
		return nil
	}
	defer func() { a.slots += n }()
	if k := len(a.runs) - 1; k >= 0 && a.runs[k].start+a.runs[k].count<<a.table.shift == start {
		a.runs[k].count += n
		return nil
	}
	if len(a.runs) == maxRuns {
		return fmt.Errorf("%s: %w: its grains lie in too little order to be moved; convert it instead", a.Name(), disk.ErrUnsupported)
	}
	a.runs = append(a.runs, run{start, a.slots, n})
	return nil
}

// Slot implements [disk.Arena].
func (a *arena) Slot(block int64) int64 {
	at := a.place(block)
	k := sort.Search(len(a.runs), func(k int) bool { return a.runs[k].start > at }) - 1
	if at < 0 || k < 0 {
		return -1
	}
	return a.runs[k].slot + (at-a.runs[k].start)>>a.table.shift
}

// place is where a block is stored, or -1.
func (a *arena) place(block int64) int64 {
	if block < 0 || block >= a.Blocks() {
		return -1
	}
	host, _, err := a.table.grainAt(block)
	if err != nil {
		return -1
	}
	return max(host, -1)
}

// offset is where a slot is in the file.
func (a *arena) offset(slot int64) int64 {
	if slot >= a.slots {
		return a.tail + (slot-a.slots)<<a.table.shift
	}
	k := sort.Search(len(a.runs), func(k int) bool { return a.runs[k].slot > slot }) - 1
	return a.runs[k].start + (slot-a.runs[k].slot)<<a.table.shift
}

// Drop implements [disk.Arena].
func (a *arena) Drop(block int64) error {
	t := a.table
	if err := a.begin(); err != nil {
		return err
	}
	e := uint32(0)
	if a.image.parent != nil || a.image.descriptor.ParentCID != noParent {
		if e = zeroGrain; t.flags&flagZeroGrain == 0 {
			return fmt.Errorf("%s: %w: its header does not allow marks for zeroes, and without one the parent would shine through", a.Name(), disk.ErrUnsupported)
		}
	}
	if a.place(block) < 0 {
		return nil
	}
	return a.enter(block, e)
}

// enter changes the entry of a block.
func (a *arena) enter(block int64, e uint32) error {
	t := a.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.pin(block); err != nil {
		return err
	}
	t.set(block, e)
	a.Wrote()
	return nil
}

// begin has the session begun.
func (a *arena) begin() error {
	if err := space.Begin(a.image.Front); err != nil {
		return err
	}
	a.table.arranged = true
	return nil
}

// Move implements [disk.Arena].
func (a *arena) Move(block, slot int64) error {
	if err := a.begin(); err != nil {
		return err
	}
	from := a.place(block)
	if from < 0 || slot < 0 {
		return fmt.Errorf("%s: move block %d to slot %d: there is no such thing", a.Name(), block, slot)
	}
	to := a.offset(slot)
	if err := a.reach(to + a.BlockSize()); err != nil {
		return err
	}
	if slot >= a.slots {
		n := slot + 1 - a.slots
		if err := a.append(a.tail, n); err != nil {
			return err
		}
		a.tail += n << a.table.shift
	}
	if err := relocate.Block(a.table.file, from, to, a.BlockSize()); err != nil {
		return err
	}
	return a.enter(block, uint32(to/sectorSize))
}

// reach makes the file at least so long.
func (a *arena) reach(end int64) error {
	t := a.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if end/sectorSize > 1<<32 || end < 0 {
		return fmt.Errorf("%s: %w", a.Name(), disk.ErrFull)
	}
	if end > t.length {
		if err := t.file.Truncate(end); err != nil {
			return err
		}
		t.length = end
		a.Wrote()
	}
	t.next = max(t.next, t.alignUp(end))
	return nil
}

// Trim implements [disk.Arena].
func (a *arena) Trim() error {
	if err := a.begin(); err != nil {
		return err
	}
	r := &recovery{sparseSpace: a.sparseSpace}
	defer r.release()
	for _, step := range []func() error{a.Flush, r.survey, r.cut, a.Flush, a.survey} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
