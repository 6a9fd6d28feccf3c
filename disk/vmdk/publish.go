package vmdk

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/sharevm/vmm/disk/internal/mapped"
)

// Collect implements [mapped.Table]: the sectors of both copies of the tables, then the directory entries of tables that are new.
func (s *sparse) Collect() []mapped.Stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken.dirty, s.taken.born = s.dirty, s.born
	s.dirty, s.born = map[int64]bool{}, map[int64]bool{}
	stages := []mapped.Stage{nil}
	if len(s.taken.dirty) > 0 {
		stages = append(stages, s.tablePatches(s.taken.dirty))
	}
	if len(s.taken.born) > 0 {
		stages = append(stages, s.directoryPatches())
	}
	return stages
}

// tablePatches returns sectors of the grain tables, in each copy.
func (s *sparse) tablePatches(sectors map[int64]bool) (out mapped.Stage) {
	for _, n := range slices.Sorted(maps.Keys(sectors)) {
		i, sector := n/s.sectorsPerTable(), n%s.sectorsPerTable()
		t := *s.tables[i].Load()
		p := encode(t[sector*entriesPerSector : min(s.tableEntries, (sector+1)*entriesPerSector)])
		for _, d := range []directory{s.gd, s.rgd} {
			if d != nil && d[i] != 0 {
				out = append(out, mapped.Patch{Off: (int64(d[i]) + sector) * sectorSize, Data: p})
			}
		}
	}
	return out
}

// directoryPatches returns the sectors of the directories that have the taken tables' entries.
func (s *sparse) directoryPatches() (out mapped.Stage) {
	sectors := map[int64]bool{}
	for i := range s.taken.born {
		sectors[i/entriesPerSector] = true
	}
	for _, n := range slices.Sorted(maps.Keys(sectors)) {
		first, last := n*entriesPerSector, min(s.entries(), (n+1)*entriesPerSector)
		out = append(out, mapped.Patch{Off: (s.header.gd + n) * sectorSize, Data: encode(s.gd[first:last])})
		if s.rgd != nil {
			out = append(out, mapped.Patch{Off: (s.redundantGD + n) * sectorSize, Data: encode(s.rgd[first:last])})
		}
	}
	return out
}

func encode(entries []uint32) []byte {
	p := make([]byte, 0, sectorSize)
	for _, e := range entries {
		p = binary.LittleEndian.AppendUint32(p, e)
	}
	return p
}

// Restore implements [mapped.Table].
func (s *sparse) Restore([]mapped.Stage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.dirty, s.taken.dirty)
	maps.Copy(s.born, s.taken.born)
}
