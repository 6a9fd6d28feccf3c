package vmdk

// surveyed bounds how much of the grain tables Open looks at, in bytes: a few milliseconds, all of a disk of 256 GiB.
const surveyed = 16 << 20

// survey checks the first tables, so that a truncated file is refused before a machine runs on it, without keeping them.
func (s *sparse) survey() error {
	scan, t := newScanner(s.file, s.length), make(grainTable, s.tableEntries)
	for i := range min(s.entries(), surveyed/s.tableBytes()) {
		if s.gd[i] == 0 {
			continue
		}
		if _, err := s.parseTable(scan, t, s.gd[i], i); err == nil {
			continue
		}
		if _, err := s.table(i); err != nil { // a sound copy will do
			return err
		}
	}
	return nil
}

// begin marks the extent as being written.
func (s sparseSpace) begin() error { return s.mark(true) }

// end gives back the room that was taken in advance and marks the extent as whole, durably.
func (s sparseSpace) end() error {
	if err := s.table.trim(); err != nil {
		return err
	}
	if err := s.mark(false); err != nil {
		return err
	}
	return s.Flush()
}
