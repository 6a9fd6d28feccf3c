package vmdk

import "slices"

// resize implements [writable]. The directory is written anew behind everything, and the header leads to it and has the new capacity in the
// same sector.
func (s *streamSpace) resize(from, to int64, cover func() error) error {
	t := s.table
	if t.capacity > from { // an earlier change of size did not come to its end
		if err := s.resizeTo(from, func() error { return nil }); err != nil {
			return err
		}
	}
	return s.resizeTo(to, cover)
}

func (s *streamSpace) resizeTo(to int64, cover func() error) error {
	t := s.table
	if to < t.capacity {
		if err := s.setCapacity(to); err != nil {
			return err
		}
		if err := t.blankTable(); err != nil {
			return err
		}
		return s.republish()
	}
	if err := t.blankTable(); err != nil {
		return err
	}
	last, start, err := s.lastGrain()
	if err != nil {
		return err
	}
	if err := s.setCapacity(to); err != nil {
		return err
	}
	if last != nil { // what its record holds beyond the end is not known to be zeroes
		last = last[:min(int64(len(last)), t.size-start)]
		if _, err := s.WriteAt(last, start); err != nil {
			return err
		}
	}
	if err := cover(); err != nil {
		return err
	}
	return s.republish()
}

// lastGrain returns the content of the last grain if that is stored and the disk has only a part of it, and where it starts.
func (s *streamSpace) lastGrain() (p []byte, start int64, err error) {
	t := s.table
	part := t.size & (t.grainBytes() - 1)
	start = t.size - part
	if part == 0 {
		return nil, 0, nil
	}
	table, err := t.sparse.table(start >> t.shift >> t.tableShift)
	if table == nil || err != nil || table[start>>t.shift&(t.tableEntries-1)] == 0 {
		return nil, 0, err
	}
	p = make([]byte, t.grainBytes())
	_, err = s.ReadAt(p[:part], start)
	return p, start, err
}

// setCapacity changes the size in sectors, in memory.
func (s *streamSpace) setCapacity(sectors int64) error {
	t := s.table
	t.sparse.setCapacity(sectors)
	err := t.inflated.Close()
	t.inflated = t.newCache()
	return err
}

// republish makes everything durable and writes a new directory, or none if nothing is stored.
func (s *streamSpace) republish() error {
	t := s.table
	t.header.gd, t.redundantGD, t.rgd = 0, 0, nil // others' streams may have two directories; one is enough
	t.flags &^= flagRedundant
	if err := t.mapTables(); err != nil {
		return err
	}
	t.mu.Lock()
	first := slices.IndexFunc(t.gd, func(e uint32) bool { return e != 0 })
	if first >= 0 {
		t.born[int64(first)] = true
	}
	empty := first < 0 && len(t.unplaced) == 0
	t.mu.Unlock()
	if empty {
		if err := t.writeHeader(true); err != nil {
			return err
		}
	}
	s.Wrote()
	return s.Flush()
}
