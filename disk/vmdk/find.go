package vmdk

import (
	"cmp"
	"encoding/binary"
	"io"
	"slices"

	"github.com/sharevm/vmm/disk"
)

// found is a grain of a stream that a search came across.
type found struct{ grain, sector uint32 }

// search reads a stream from record to record and returns its grains in the order of the disk, the last of each number. It stops at the end
// marker or at the first thing that is no record, and says whether it was the former.
func (s *sparse) search() (grains []found, whole bool, err error) {
	for at := max(s.overhead, s.descriptorOffset+s.descriptorSize, 1) * sectorSize; at < s.length; {
		var p [16]byte
		if _, err := s.file.ReadAt(p[:], at); err == io.EOF {
			break
		} else if err != nil {
			return nil, false, err
		}
		le := binary.LittleEndian
		number, size := le.Uint64(p[:]), int64(le.Uint32(p[8:]))
		if size == 0 {
			what := le.Uint32(p[12:])
			if what == markEnd {
				whole = true
				break
			}
			if what > markFooter || number > uint64(s.length-at)/sectorSize {
				break
			}
			at += (1 + int64(number)) * sectorSize
			continue
		}
		end := at + sectors(grainHeader+size)*sectorSize
		if number >= uint64(s.capacity) || number%uint64(s.grain) != 0 || size > s.maxPacked() || at+grainHeader+size > s.length {
			break
		}
		grains = append(grains, found{uint32(number / uint64(s.grain)), uint32(at / sectorSize)})
		at = end
	}
	slices.SortStableFunc(grains, func(a, b found) int { return cmp.Compare(a.grain, b.grain) })
	out := grains[:0]
	for i, g := range grains {
		if i+1 == len(grains) || grains[i+1].grain != g.grain {
			out = append(out, g)
		}
	}
	return out, whole, nil
}

// foundTable makes grain table i of what a search found, or returns nil if it found nothing there.
func (s *sparse) foundTable(i int64) grainTable {
	at, _ := slices.BinarySearchFunc(s.found, i*s.tableEntries, func(f found, first int64) int { return cmp.Compare(int64(f.grain), first) })
	var t grainTable
	for ; at < len(s.found) && int64(s.found[at].grain) < (i+1)*s.tableEntries; at++ {
		if t == nil {
			t = make(grainTable, s.tableEntries)
		}
		t[int64(s.found[at].grain)%s.tableEntries] = s.found[at].sector
	}
	return t
}

// findLost fills in for the directory of a stream that has lost it.
func (s *sparse) findLost() error {
	s.gd = make(directory, s.entries())
	grains, whole, err := s.search()
	if err != nil {
		return err
	}
	if len(grains) == 0 {
		return disk.Corrupt(s.file.Name(), gdAt, "the file has lost its end, where the grain directory is, and no grain is left either")
	}
	s.found = grains
	if !whole {
		s.log.Warn("the file ends in the middle of its grains", "file", s.file.Name(), "found", len(grains))
	}
	return nil
}
