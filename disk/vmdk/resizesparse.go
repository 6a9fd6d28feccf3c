package vmdk

import (
	"sync/atomic"

	"github.com/sharevm/vmm/disk/internal/mapped"
)

// resize implements [writable].
func (s sparseSpace) resize(from, to int64, cover func() error) error {
	t := s.table
	if t.damaged != nil {
		if err := s.tidy(); err != nil {
			return err
		}
	}
	if t.capacity > from { // an earlier change of size did not come to its end
		if err := s.cut(from); err != nil {
			return err
		}
	}
	if to < from {
		return s.cut(to)
	}
	return s.grow(to, cover)
}

// cut makes the extent smaller and gives the room of what is cut off back.
func (s sparseSpace) cut(to int64) error {
	t := s.table
	t.setCapacity(to)
	if err := t.mapTables(); err != nil {
		return err
	}
	if err := s.commit(); err != nil {
		return err
	}
	if err := s.blank(); err != nil {
		return err
	}
	return s.tidy()
}

// grow makes the extent larger. New tables, and directories that do not fit in their places any more, lie at the end of the file; nothing leads to
// them before the header does.
func (s sparseSpace) grow(to int64, cover func() error) error {
	t := s.table
	if err := s.blank(); err != nil {
		return err
	}
	old, oldGD, oldRGD := t.entries(), t.header.gd, t.redundantGD
	t.setCapacity(to)
	if err := s.addTables(old); err != nil {
		return err
	}
	if err := cover(); err != nil {
		return err
	}
	if err := s.commit(); err != nil {
		return err
	}
	if t.header.gd != oldGD && max(oldGD, oldRGD) >= t.overhead {
		return s.tidy() // the old directories are in the midst of the grains
	}
	return nil
}

// commit makes everything durable and then the header, which changes in one sector.
func (s sparseSpace) commit() error {
	s.Wrote()
	if err := s.Flush(); err != nil {
		return err
	}
	h := *s.table.header
	h.unclean = true
	if _, err := s.table.file.WriteAt(h.encode()[flagsAt:uncleanAt+1], flagsAt); err != nil {
		return err
	}
	s.Wrote()
	return s.Flush()
}

// setCapacity changes the size in sectors, in memory. Tables that are new have no place yet, and mapTables is to be called when they have.
func (s *sparse) setCapacity(sectors int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.capacity, s.size = sectors, sectors*sectorSize
	n := s.entries()
	fit := func(d directory) directory {
		if d == nil {
			return nil
		}
		out := make(directory, n)
		copy(out, d)
		return out
	}
	s.gd, s.rgd = fit(s.gd), fit(s.rgd)
	tables := make([]atomic.Pointer[grainTable], n)
	s.loaded = 0
	for i := range min(len(tables), len(s.tables)) {
		if t := s.tables[i].Load(); t != nil {
			tables[i].Store(t)
			s.loaded++
		}
	}
	s.tables = tables
}

// mapTables notes where the directories and tables are now.
func (s *sparse) mapTables() (err error) {
	s.meta, err = metadata(s.file.Name(), s.header, s.gd, s.rgd)
	return err
}

// blank clears, in the file, what the last table and the last grain hold beyond the disk's end.
func (s sparseSpace) blank() error {
	t := s.table
	if err := t.blankTable(); err != nil {
		return err
	}
	if end := t.size & (t.grainBytes() - 1); end != 0 {
		host, _, err := t.Find(t.size-end, end)
		if err != nil {
			return err
		}
		if host >= 0 {
			s.Wrote()
			if err := t.file.Zero(host+end, t.grainBytes()-end, true); err != nil {
				return err
			}
		}
	}
	s.Wrote()
	return s.Flush()
}

// blankTable clears the last table's entries of grains that the disk does not have.
func (s *sparse) blankTable() error {
	i := s.entries() - 1
	if i < 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.load(i)
	if err != nil {
		return err
	}
	for k := s.inDisk(i); t != nil && k < s.tableEntries; k++ {
		if t[k] == 0 {
			continue
		}
		if err := s.pin(i*s.tableEntries + k); err != nil {
			return err
		}
		s.set(i*s.tableEntries+k, 0)
	}
	return nil
}

// addTables makes empty tables, from number old on, and writes the directories, which move when they do not fit in their sectors any more.
func (s sparseSpace) addTables(old int64) error {
	t := s.table
	n := t.entries() - old
	if n == 0 {
		return nil
	}
	dirSectors, moved := sectors(t.entries()*4), sectors(t.entries()*4) > sectors(old*4)
	each := n * t.sectorsPerTable()
	if moved {
		each += dirSectors
	}
	copies := []directory{t.gd}
	if t.rgd != nil {
		copies = []directory{t.rgd, t.gd}
	}
	t.mu.Lock()
	at, err := t.extend(each * int64(len(copies)) * sectorSize)
	t.mu.Unlock()
	if err != nil {
		return err
	}
	s.Wrote()
	sector := at / sectorSize
	for k, d := range copies {
		place := &t.header.gd
		if k < len(copies)-1 {
			place = &t.redundantGD
		}
		from := old / entriesPerSector * entriesPerSector
		if moved {
			*place, from = sector, 0
			sector += dirSectors
		}
		for i := old; i < t.entries(); i++ {
			d[i] = uint32(sector)
			sector += t.sectorsPerTable()
		}
		p := mapped.Patch{Off: *place*sectorSize + from*4, Data: padded(encode(d[from:]))}
		if _, err := t.file.WriteAt(p.Data, p.Off); err != nil {
			return err
		}
	}
	return t.mapTables()
}
