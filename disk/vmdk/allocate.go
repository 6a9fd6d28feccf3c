package vmdk

import (
	"fmt"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
)

// Allocate implements [mapped.Table]. Consecutive grains are placed one after the other, so that one transfer fills them.
func (s *sparse) Allocate(off, length int64) (host, n int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	grain, in := off>>s.shift, off&(s.grainBytes()-1)
	host, err = s.place(grain)
	if err != nil {
		return 0, 0, err
	}
	for n = s.grainBytes() - in; n < length && s.absent(grain+1) && s.adjoins(host+in+n); n += s.grainBytes() {
		grain++
		if _, err := s.place(grain); err != nil {
			break // no room: the next call reports it
		}
	}
	return host + in, min(n, length), nil
}

// absent says whether a grain has no place, in a table that is there. Called with mu held.
func (s *sparse) absent(grain int64) bool {
	t, err := s.load(grain / s.tableEntries)
	return err == nil && t != nil && t[grain%s.tableEntries] <= zeroGrain
}

// place returns where a grain is, after finding it a place at the end of the file if it has none. Called with mu held.
func (s *sparse) place(grain int64) (int64, error) {
	i, k := grain/s.tableEntries, grain%s.tableEntries
	t, err := s.load(i)
	if err != nil {
		return 0, err
	}
	if t == nil {
		if t, err = s.bear(i); err != nil {
			return 0, err
		}
	}
	if e := t[k]; e > zeroGrain {
		return int64(e) * sectorSize, nil
	}
	at, err := s.room()
	if err != nil {
		return 0, err
	}
	s.dirty[i*s.sectorsPerTable()+k/entriesPerSector] = true
	atomic.StoreUint32(&t[k], uint32(at/sectorSize))
	return at, nil
}

// bear makes grain table i, which the extent lacks, and finds each copy a place. Called with mu held.
func (s *sparse) bear(i int64) (grainTable, error) {
	for _, d := range []directory{s.gd, s.rgd} {
		if d == nil {
			continue
		}
		at, err := s.extend(s.tableBytes())
		if err != nil {
			return nil, err
		}
		d[i] = uint32(at / sectorSize)
	}
	t := make(grainTable, s.tableEntries)
	s.bornWith(i, t)
	return t, nil
}

// bornWith keeps table i, of which at least one copy is not in the file. Called with mu held.
func (s *sparse) bornWith(i int64, t grainTable) {
	s.born[i] = true
	s.rewrite(i, t)
}

// rewrite keeps t as table i, no sector of which is in the file. Called with mu held.
func (s *sparse) rewrite(i int64, t grainTable) {
	for sector := range s.sectorsPerTable() {
		s.dirty[i*s.sectorsPerTable()+sector] = true
	}
	s.keep(i, t)
}

// room takes a grain's room, which reads as zeroes: what was left over, or else the end of the file. Called with mu held.
func (s *sparse) room() (int64, error) {
	if n := len(s.free); n > 0 {
		at := s.free[n-1]
		if err := s.file.Zero(at, s.grainBytes(), true); err != nil {
			return 0, err
		}
		s.free = s.free[:n-1]
		return at, nil
	}
	return s.extend(s.grainBytes())
}

// adjoins says whether the next room starts at a place in the file. Called with mu held.
func (s *sparse) adjoins(at int64) bool { return len(s.free) == 0 && s.next == at }

// extend takes n bytes at the end of the file, which read as zeroes. Called with mu held.
func (s *sparse) extend(n int64) (int64, error) {
	at, end := s.next, s.alignUp(s.next+n)
	if end/sectorSize > 1<<32 {
		return 0, fmt.Errorf("%s: %w", s.file.Name(), disk.ErrFull)
	}
	if end > s.length {
		length := max(end, s.length+growStep)
		if err := s.file.Truncate(length); err != nil {
			return 0, err
		}
		s.length = length
	}
	s.next = end
	return at, nil
}

// trim cuts off what extend took in advance, if anything.
func (s *sparse) trim() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.length == s.limit || s.next >= s.length {
		return false, nil
	}
	s.length = s.next
	return true, s.file.Truncate(s.length)
}
