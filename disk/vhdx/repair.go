package vhdx

import (
	"fmt"

	"github.com/sharevm/vmm/disk"
)

// Repair puts right what [Check] calls a leak or repairable: it replays the log, restores a header or region table from the other copy, empties
// entries of the block allocation table that are of no use, and ends the file behind what is in use. Of a table that is damaged it
// changes nothing.
func Repair(path string, o disk.OpenOptions) error {
	r, err := Check(path, o)
	if err != nil {
		return err
	}
	damaged, other := false, r.More > 0
	for _, p := range r.Problems {
		damaged = damaged || p.Severity == disk.Damage
		other = other || p.Severity != disk.Damage
	}
	if !other {
		return nil
	}
	o.ReadOnly = false
	file, err := o.Open(path)
	if err != nil {
		return err
	}
	err = repair(&steady{File: file}, damaged)
	if e := file.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("%s: repair: %w", path, err)
	}
	return nil
}

func repair(file *steady, damaged bool) error {
	c, err := read(file)
	if err != nil {
		return err
	}
	s := &session{file: file, headers: c.headers}
	t, err := newTable(c.file, newLayout(c.metadata), s, c.regions, c.size)
	if err != nil {
		return err
	}
	// Writing a header anew writes both.
	if c.replay != nil {
		err = s.recover(c.replay, t)
	} else {
		err = s.touch()
	}
	if err != nil {
		return err
	}
	if err := s.mendTables(t, len(c.regions.problems) > 0); err != nil {
		return err
	}
	if damaged {
		return s.closeLog()
	}
	if err := t.takeStock(); err != nil {
		return err
	}
	return t.settle()
}

// mendTables makes both region tables the same, if they are not, and empties stray entries of the block allocation table.
func (s *session) mendTables(t *table, regions bool) error {
	v := newRevision(s.file)
	commit := func() error {
		if len(v.pages) == 0 {
			return nil
		}
		defer clear(v.pages)
		return s.commit(v, t.length&^(mib-1))
	}
	if regions {
		if err := v.mendRegions(t.regions); err != nil {
			return err
		}
		if err := commit(); err != nil {
			return err
		}
	}
	none := make([]byte, 8)
	err := t.scan(t.entries(), func(index int64, e entry) error {
		if !e.stored() || !t.stray(index) {
			return nil
		}
		if err := v.write(none, t.regions.bat.start+index*8); err != nil || len(v.pages) < s.capacity() {
			return err
		}
		return commit()
	})
	if err != nil {
		return err
	}
	return commit()
}
