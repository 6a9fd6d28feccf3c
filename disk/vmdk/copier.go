package vmdk

import (
	"sync/atomic"

	"github.com/sharevm/vmm/disk/internal/mapped"
)

var (
	_ mapped.Copier = (*sparse)(nil)
	_ mapped.Zeroer = zeroing{}
)

// Unit implements [mapped.Copier].
func (s *sparse) Unit() int64 { return s.grainBytes() }

// Place implements [mapped.Copier], for a run of grains of one table.
func (s *sparse) Place(off, length int64) (host, n int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	grain := off >> s.shift
	if err := s.pin(grain); err != nil {
		return 0, 0, err
	}
	if host, err = s.room(); err != nil {
		return 0, 0, err
	}
	for n = s.grainBytes(); n < length && s.adjoins(host+n); n += s.grainBytes() {
		grain++
		if grain%s.tableEntries == 0 || s.pin(grain) != nil {
			break
		}
		if _, err := s.room(); err != nil {
			break // the next call reports it
		}
	}
	return host, n, nil
}

// pin makes sure that the table of a grain is there and stays in memory until the next Collect. Called with mu held.
func (s *sparse) pin(grain int64) error {
	i, k := grain/s.tableEntries, grain%s.tableEntries
	t, err := s.load(i)
	if err == nil && t == nil {
		_, err = s.bear(i)
	}
	if err == nil {
		s.dirty[i*s.sectorsPerTable()+k/entriesPerSector] = true
	}
	return err
}

// Adopt implements [mapped.Copier].
func (s *sparse) Adopt(off, n, host int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; n > 0; off, n, host = off+s.grainBytes(), n-s.grainBytes(), host+s.grainBytes() {
		s.set(off>>s.shift, uint32(host/sectorSize))
	}
}

// set changes the entry of a grain in a pinned table. Called with mu held.
func (s *sparse) set(grain int64, e uint32) {
	t := *s.tables[grain/s.tableEntries].Load()
	atomic.StoreUint32(&t[grain%s.tableEntries], e)
}

// Forget implements [mapped.Copier].
func (s *sparse) Forget(_, n, host int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; n > 0; n, host = n-s.grainBytes(), host+s.grainBytes() {
		s.free = append(s.free, host)
	}
}

// zeroing is the table of an extent whose header allows entries that mean zeroes.
type zeroing struct{ *sparse }

// MarkZero implements [mapped.Zeroer].
func (z zeroing) MarkZero(off, n int64) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	for ; n > 0; off, n = off+z.grainBytes(), n-z.grainBytes() {
		if err := z.pin(off >> z.shift); err != nil {
			return err
		}
		z.set(off>>z.shift, zeroGrain)
	}
	return nil
}
