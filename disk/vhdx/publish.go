package vhdx

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/sharevm/vmm/disk/internal/mapped"
)

// publishing is what a table remembers between flushes.
type publishing struct {
	// logged are the pages of the last log entry, which have not been written in their places yet. The first stage of the
	// next flush, or Close, does it.
	logged []page
	// inFlight are the places of pages that the last Collect took or had logged before: the file may not hold them yet.
	inFlight map[int64]bool
	// taken is what the last Collect took; past is where the log stood before each of its stages.
	taken struct {
		bat  []int64
		bits []int64
		past []progress
	}
}

// progress is a state between two stages.
type progress struct {
	logged   []page
	sequence uint64
	stages   int // that are left
}

// Collect implements [mapped.Table]. First goes, with the data, what the last flush logged; then a log entry; should one not be
// enough, its pages in their places, and the next entry.
func (t *table) Collect() []mapped.Stage {
	t.mu.Lock()
	defer t.mu.Unlock()
	dirty := t.takeDirty()
	t.inFlight = map[int64]bool{}
	for _, p := range slices.Concat(t.logged, dirty) {
		t.inFlight[p.off] = true
	}
	stages := []mapped.Stage{patches(t.logged)}
	past := []progress{{t.logged, t.session.sequence(), 0}, {nil, t.session.sequence(), 0}}
	t.logged = nil
	for len(dirty) > 0 {
		now := dirty[:min(len(dirty), t.session.log.room())]
		dirty = dirty[len(now):]
		at, p := t.session.log.entry(now, t.length&^(mib-1))
		stages = append(stages, mapped.Stage{{Off: at, Data: p}})
		past = append(past, progress{now, t.session.sequence(), 0})
		if t.logged = now; len(dirty) > 0 {
			stages = append(stages, patches(now))
			past = append(past, progress{nil, t.session.sequence(), 0})
		}
	}
	for k := range past {
		past[k].stages = len(stages) - k
	}
	t.taken.past = past
	return stages
}

func patches(pages []page) (s mapped.Stage) {
	for _, p := range pages {
		s = append(s, mapped.Patch{Off: p.off, Data: p.data})
	}
	return s
}

// takeDirty returns the changed pages as they are now. Their order matters when they need several log entries: a sector bitmap comes
// before the table entry that has it read, and, since a chunk's own entry lies behind those of its blocks, the end of the table
// comes before its start.
func (t *table) takeDirty() (out []page) {
	t.taken.bat, t.taken.bits = slices.Sorted(maps.Keys(t.dirty)), slices.Sorted(maps.Keys(t.changed))
	clear(t.dirty)
	clear(t.changed)
	for _, at := range t.taken.bits {
		out = append(out, page{at, slices.Clone(t.cached[at][:])})
	}
	for _, n := range slices.Backward(t.taken.bat) {
		out = append(out, page{t.batPageAt(n), t.pages[n].Load().encode()})
	}
	return out
}

func (p *batPage) encode() []byte {
	out := make([]byte, 0, pageSize)
	for k := range p {
		out = binary.LittleEndian.AppendUint64(out, atomic.LoadUint64(&p[k]))
	}
	return out
}

// Restore implements [mapped.Table]: all that was taken is logged again, in the half of the log that failed.
func (t *table) Restore(left []mapped.Stage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.taken.past {
		if p.stages == len(left) {
			t.logged = p.logged
			t.session.setSequence(p.sequence)
		}
	}
	for _, n := range t.taken.bat {
		t.dirty[n] = true
	}
	for _, at := range t.taken.bits {
		t.changed[at] = true
	}
}
