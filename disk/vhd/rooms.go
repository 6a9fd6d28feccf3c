package vhd

import (
	"cmp"
	"slices"

	"github.com/sharevm/vmm/disk"
)

// rooms divides a file into slots that hold a block or could hold one. Where blocks stand is a slot, whoever placed them there; what lies
// between them is divided from the first place on where a block's data is aligned.
type rooms struct {
	t      *table
	tables []area // in order
	runs   []run
	slots  int64
	end    int64 // what lies behind is not divided yet
}

// run is a row of slots at equal distances.
type run struct {
	first int64 // number of the first slot
	at    int64 // byte of the file where that starts
	n     int64
	step  int64 // distance in bytes
}

func (r run) last() int64 { return r.at + (r.n-1)*r.step }

// placed returns the blocks that are stored in the order of their places.
func (t *table) placed() []uint32 {
	var blocks []uint32
	for b := range t.blocks() {
		if t.bat[b] != unused {
			blocks = append(blocks, uint32(b))
		}
	}
	slices.SortFunc(blocks, func(a, b uint32) int { return cmp.Compare(t.bat[a], t.bat[b]) })
	return blocks
}

// start is where a stored block starts in the file: with its bitmap.
func (t *table) start(block uint32) int64 { return int64(t.bat[block]) * sectorSize }

// pitch is the distance of new blocks from each other.
func (t *table) pitch() int64 {
	return (t.blockSize + t.bitmapSize() + dataAlign - 1) / dataAlign * dataAlign
}

// rooms divides the file up to the last of blocks, which are all that are stored, in the order of their places.
func (t *table) rooms(blocks []uint32) (*rooms, error) {
	r := &rooms{t: t, tables: t.tables(), end: footerSize}
	slices.SortFunc(r.tables, func(a, b area) int { return cmp.Compare(a.start, b.start) })
	for _, b := range blocks {
		at := t.start(b)
		if at < r.end {
			return nil, disk.Corrupt(t.file.Name(), at, "block %d overlaps another", b)
		}
		r.divide(at)
		r.add(at, 1, t.stride())
		r.end = at + t.stride()
	}
	return r, nil
}

// divide makes slots of what is free up to byte limit.
func (r *rooms) divide(limit int64) {
	limit = min(limit, unused*sectorSize)
	for _, a := range r.tables {
		if a.end > r.end && a.start < limit {
			r.fill(a.start)
			r.end = max(r.end, (a.end+sectorSize-1)/sectorSize*sectorSize)
		}
	}
	r.fill(limit)
	r.end = max(r.end, limit)
}

// fill makes slots up to byte limit, as there is no table in between.
func (r *rooms) fill(limit int64) {
	stride, pitch := r.t.stride(), r.t.pitch()
	for {
		at, n := r.t.align(r.end), int64(1)
		if at+stride > limit {
			at = r.end // a block of another program may leave a gap in which its like fits and no aligned one
		} else {
			n = (limit-at-stride)/pitch + 1
		}
		if at+stride > limit {
			return
		}
		r.add(at, n, pitch)
		r.end = at + (n-1)*pitch + stride
	}
}

// add appends n slots.
func (r *rooms) add(at, n, step int64) {
	defer func() { r.slots += n }()
	if k := len(r.runs) - 1; k >= 0 {
		l := &r.runs[k]
		if d := at - l.last(); l.n == 1 && d <= r.t.pitch() {
			l.step = d
		}
		if at == l.last()+l.step && (n == 1 || l.step == step) {
			l.n += n
			return
		}
	}
	r.runs = append(r.runs, run{r.slots, at, n, step})
}

// place returns where a slot starts. Behind the last one the file goes on in slots.
func (r *rooms) place(slot int64) int64 {
	if slot >= r.slots {
		return r.t.align(r.end) + (slot-r.slots)*r.t.pitch()
	}
	k, found := slices.BinarySearchFunc(r.runs, slot, func(x run, s int64) int { return cmp.Compare(x.first, s) })
	if !found {
		k--
	}
	return r.runs[k].at + (slot-r.runs[k].first)*r.runs[k].step
}

// slot returns the number of the slot that starts at byte at.
func (r *rooms) slot(at int64) int64 {
	k, found := slices.BinarySearchFunc(r.runs, at, func(x run, at int64) int { return cmp.Compare(x.at, at) })
	if !found {
		k--
	}
	return r.runs[k].first + (at-r.runs[k].at)/r.runs[k].step
}

// cut forgets the slots from byte end on.
func (r *rooms) cut(end int64) {
	for k := len(r.runs) - 1; k >= 0 && r.runs[k].last() >= end; k-- {
		l := &r.runs[k]
		if l.at < end {
			l.n = (end-l.at-1)/l.step + 1
			break
		}
		r.runs = r.runs[:k]
	}
	r.slots = 0
	if k := len(r.runs) - 1; k >= 0 {
		r.slots = r.runs[k].first + r.runs[k].n
	}
	r.end = end
}

// leaked is how many bytes of the file could hold blocks and do not: between blocks, and behind the last one and the tables.
func (t *table) leaked() int64 {
	used := int64(0)
	for b := range t.blocks() {
		if t.bat[b] != unused {
			used += t.stride()
		}
	}
	if t.next-used < t.stride() {
		return 0
	}
	blocks := t.placed()
	r, err := t.rooms(blocks)
	if err != nil {
		return 0 // an overlap, which is worse
	}
	free := r.slots - int64(len(blocks))
	r.divide(t.tablesEnd())
	before := r.slots
	r.divide(t.next)
	return (free + r.slots - before) * t.stride()
}

// tablesEnd is where the last table ends, in whole sectors.
func (t *table) tablesEnd() int64 {
	end := int64(footerSize)
	for _, a := range t.tables() {
		end = max(end, (a.end+sectorSize-1)/sectorSize*sectorSize)
	}
	return end
}
