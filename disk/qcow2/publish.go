package qcow2

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/sharevm/vmm/disk/internal/mapped"
)

const sectorSize = 512

// Collect implements [mapped.Table], in the order that the package comment gives.
func (t *table) Collect() []mapped.Stage {
	t.reuse.Lock()
	defer t.reuse.Unlock()
	t.mu.Lock()
	defer t.settle()
	r := t.refs
	r.release()
	r.freed, r.freeing = nil, r.freed
	r.taken.dirty, r.taken.dirtyTable, r.taken.moved = r.dirty, r.dirtyTable, r.moved
	r.dirty, r.dirtyTable, r.moved = map[int64]bool{}, map[int64]bool{}, false
	t.taken.dirty, t.taken.dirtyL1 = t.dirty, t.dirtyL1
	t.dirty, t.dirtyL1 = map[int64]bool{}, map[int64]bool{}

	stages := []mapped.Stage{r.blockPatches()}
	for _, stage := range []mapped.Stage{r.tablePatches(), t.l2Patches(), t.l1Patches()} {
		if len(stage) > 0 {
			stages = append(stages, stage)
		}
	}
	return stages
}

// Restore implements [mapped.Table].
func (t *table) Restore([]mapped.Stage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.refs
	r.freed, r.freeing = append(r.freeing, r.freed...), nil
	maps.Copy(r.dirty, r.taken.dirty)
	maps.Copy(r.dirtyTable, r.taken.dirtyTable)
	r.moved = r.moved || r.taken.moved
	maps.Copy(t.dirty, t.taken.dirty)
	maps.Copy(t.dirtyL1, t.taken.dirtyL1)
}

// blockPatches returns the taken pieces of refcount blocks, and all of a refcount table that has moved.
func (r *refcounts) blockPatches() (out mapped.Stage) {
	for _, id := range slices.Sorted(maps.Keys(r.taken.dirty)) {
		out = append(out, mapped.Patch{Off: r.pieceAt(id), Data: slices.Clone(r.pieces[id])})
	}
	if r.taken.moved {
		out = append(out, mapped.Patch{Off: r.at, Data: encode(r.table)})
	}
	return out
}

// tablePatches returns the taken sectors of the refcount table, or the header's pointer to one that has moved.
func (r *refcounts) tablePatches() (out mapped.Stage) {
	if r.taken.moved {
		p := binary.BigEndian.AppendUint64(nil, uint64(r.at))
		p = binary.BigEndian.AppendUint32(p, uint32(int64(len(r.table))*8>>r.clusterBits))
		return mapped.Stage{{Off: refTableAt, Data: p}}
	}
	return sectorPatches(r.at, r.table, r.taken.dirtyTable)
}

// l2Patches returns the taken pieces of L2 tables.
func (t *table) l2Patches() (out mapped.Stage) {
	for _, id := range slices.Sorted(maps.Keys(t.taken.dirty)) {
		out = append(out, mapped.Patch{Off: t.pieceAt(id), Data: encode(t.inMemory(id))})
	}
	return out
}

// l1Patches returns the taken sectors of the L1 table.
func (t *table) l1Patches() mapped.Stage { return sectorPatches(t.l1At, t.l1, t.taken.dirtyL1) }

// sectorPatches returns those sectors of a table, which is at a byte of the file, that have a number in dirty.
func sectorPatches[E int64 | uint64](at int64, table []E, dirty map[int64]bool) (out mapped.Stage) {
	const entries = sectorSize / 8
	for _, n := range slices.Sorted(maps.Keys(dirty)) {
		part := table[n*entries : min(int64(len(table)), (n+1)*entries)]
		out = append(out, mapped.Patch{Off: at + n*sectorSize, Data: encode(part)})
	}
	return out
}

func encode[E int64 | uint64](entries []E) []byte {
	p := make([]byte, 0, len(entries)*8)
	for _, e := range entries {
		p = binary.BigEndian.AppendUint64(p, uint64(e))
	}
	return p
}
