package vmdk

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/claims"
)

// Check compares each sparse extent's directories and tables with each other and with the file.
func Check(path string, o disk.OpenOptions) (*disk.Report, error) {
	o.ReadOnly = true
	i := &Image{flat: map[string]disk.File{}}
	defer i.closeFiles()
	file, err := o.Open(path)
	if err != nil {
		return nil, err
	}
	i.adopt(file)
	h, size, err := i.readDescriptor(file)
	if err != nil {
		return nil, err
	}
	r := &disk.Report{Format: "vmdk"}
	if h != nil {
		return r, checkExtent(r, file, h, size, o)
	}
	for n, e := range i.descriptor.Extents {
		if e.Type != "SPARSE" || e.Access == NoAccess {
			continue
		}
		if err := checkExtentFile(r, filepath.Dir(path), e, o); err != nil {
			return nil, fmt.Errorf("%s: extent %d: %w", path, n+1, err)
		}
	}
	return r, nil
}

func checkExtentFile(r *disk.Report, folder string, e Extent, o disk.OpenOptions) error {
	file, err := o.OpenBeside(folder, e.Name, true)
	if err != nil {
		return err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return err
	}
	h, err := readHeader(file, size)
	if err != nil {
		return err
	}
	return checkExtent(r, file, h, size, o)
}

// checkExtent adds what is wrong with one extent to r.
func checkExtent(r *disk.Report, file disk.File, h *header, size int64, o disk.OpenOptions) error {
	s, err := openSparse(file, h, size, o.Log())
	if err != nil {
		return err
	}
	grains := (h.capacity + h.grain - 1) / h.grain
	r.Total += grains
	r.BlockSize = h.grain * sectorSize
	if h.unclean {
		r.Add(disk.Problem{Severity: disk.Repairable, File: file.Name(), Offset: uncleanAt, What: "the last writer did not close the extent"})
	}
	allocated := int64(0)
	last := s.meta[len(s.meta)-1].end
	for i := range s.entries() {
		t, err := s.checkTable(r, i)
		if err != nil {
			return err
		}
		for _, e := range t {
			if e > zeroGrain {
				allocated++
				last = max(last, int64(e)*sectorSize+s.grainBytes())
			}
		}
	}
	r.Allocated += allocated
	// What aligning the first grain costs is no leak.
	used := max(s.metaBytes(), h.overhead*sectorSize) + allocated*s.grainBytes()
	if leaked := size - used; leaked >= s.grainBytes() {
		r.Leaked += leaked
		r.Add(disk.Problem{Severity: disk.Leak, File: file.Name(), Offset: -1, What: fmt.Sprintf("%d bytes of the file belong to no grain", leaked)})
	}
	return claims.Overlaps(r, file.Name(), h.grain, last/sectorSize, func(yield func(uint32)) error {
		return s.eachGrain(yield)
	})
}

func (s *sparse) metaBytes() (n int64) {
	for _, m := range s.meta {
		n += m.end - m.start
	}
	return n
}

// checkTable reads both copies of table i and returns the one to believe, nil if there is none.
func (s *sparse) checkTable(r *disk.Report, i int64) (grainTable, error) {
	first, broken1, err := s.checkCopy(s.gd, i)
	if err != nil {
		return nil, err
	}
	second, broken2, err := s.checkCopy(s.rgd, i)
	if err != nil {
		return nil, err
	}
	for _, broken := range []*disk.FormatError{broken1, broken2} {
		if broken == nil {
			continue
		}
		severity := disk.Damage
		if first != nil || second != nil {
			severity = disk.Repairable
		}
		r.Add(disk.Problem{Severity: severity, File: s.file.Name(), Offset: broken.Offset, What: broken.Reason})
	}
	if first == nil {
		return second, nil
	}
	for k := range second {
		if first[k] != second[k] {
			r.Add(disk.Problem{
				Severity: disk.Repairable, File: s.file.Name(), Offset: int64(s.rgd[i])*sectorSize + int64(k)*4,
				What: fmt.Sprintf("the redundant entry of grain %d is %d, the first %d", i*s.tableEntries+int64(k), second[k], first[k]),
			})
		}
	}
	return first, nil
}

// checkCopy reads table i of one directory, which may be nil, and tells a broken rule from a failure to read.
func (s *sparse) checkCopy(d directory, i int64) (grainTable, *disk.FormatError, error) {
	if d == nil || d[i] == 0 {
		return nil, nil, nil
	}
	t, err := s.readTable(d[i], i)
	var broken *disk.FormatError
	if errors.As(err, &broken) {
		return nil, broken, nil
	}
	return t, nil, err
}

// eachGrain calls yield with the place of each stored grain. Tables that cannot be believed are left out.
func (s *sparse) eachGrain(yield func(uint32)) error {
	for i := range s.entries() {
		t, err := s.checkTable(&disk.Report{}, i)
		if err != nil {
			return err
		}
		for _, e := range t {
			if e > zeroGrain {
				yield(e)
			}
		}
	}
	return nil
}
