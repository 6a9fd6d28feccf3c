package vhdx

import (
	"fmt"

	"github.com/sharevm/vmm/disk"
)

// room is what a table knows of its file's space. Everything is guarded by table.mu.
type room struct {
	// used is what is in use, for blocks to be placed in the holes that others left. It is nil until the log is opened, and stays so where finding
	// out would take long, or where blocks overlap.
	used     *occupancy
	searched map[int64]int64 // by the length of a hole in bytes: up to where there is none
	freed    []span          // places that blocks have left since the last Flush
}

// occupied finds out what is in use, and refuses a file in which something overlaps. The file must hold the table as it is.
func (t *table) occupied() (*occupancy, error) {
	o := newOccupancy(t.length)
	for _, g := range t.regions.all {
		o.take(g.start, g.end)
	}
	err := t.scan(t.entries(), func(index int64, e entry) error {
		reason := t.misplaced(index, e, t.length, t.regions)
		if reason == "" && e.stored() && !t.stray(index) && o.take(int64(e.offset()), int64(e.offset())+t.sizeOf(index)) {
			reason = fmt.Sprintf("another block has a part of the place of entry %d", index)
		}
		if reason != "" {
			return disk.Corrupt(t.file.Name(), t.regions.bat.start+index*8, "%s", reason)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// openLog makes the log ready for a change. Called with mu held.
func (t *table) openLog() error {
	if t.session.log == nil && t.used == nil && t.entries() <= surveyed/8 {
		if o, err := t.occupied(); err == nil {
			t.occupy(o)
		}
	}
	return t.session.openLog(t.length &^ (mib - 1))
}

// takeStock finds out what is in use, however long that takes. The file must hold the table as it is.
func (t *table) takeStock() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	o, err := t.occupied()
	if err == nil {
		t.occupy(o)
	}
	return err
}

// occupy notes what is in use. Called with mu held.
func (t *table) occupy(o *occupancy) {
	t.used, t.searched = o, map[int64]int64{}
	t.next = max(t.next, o.end()) // the last block may be cut short by the end of the file
}

// grow takes size bytes, whole MiB, that read as zeroes: in a hole, or at the end of the file. Called with mu held.
func (t *table) grow(size int64) (at int64, err error) {
	if err := t.openLog(); err != nil {
		return 0, err
	}
	at = t.next
	if t.used != nil {
		hole, ok := t.used.hole(size, t.searched[size], t.next)
		if !ok {
			t.searched[size] = t.next
		} else {
			if err := t.file.Zero(hole, size, true); err != nil {
				return 0, fmt.Errorf("%s: make room for a block: %w", t.file.Name(), err)
			}
			t.searched[size], at = hole+size, hole
		}
	}
	if err := t.extend(at + size); err != nil {
		return 0, err
	}
	if t.used != nil {
		t.used.take(at, at+size)
	}
	return at, nil
}

// extend makes the file end at end at least. Called with mu held and the log open.
func (t *table) extend(end int64) error {
	if end <= t.length {
		return nil
	}
	if err := t.file.Truncate(end); err != nil {
		return fmt.Errorf("%s: make room for a block: %w", t.file.Name(), err)
	}
	t.next, t.length = max(t.next, (end+mib-1)&^(mib-1)), end
	return nil
}

// settle brings everything that was flushed into its place and empties the log. The file then ends behind what is in use, if that is known. No
// write may be under way.
func (t *table) settle() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.logged {
		if _, err := t.file.WriteAt(p.data, p.off); err != nil {
			return err
		}
	}
	t.logged = nil
	clear(t.inFlight)
	if t.used == nil {
		return t.session.closeLog()
	}
	for _, s := range t.freed {
		t.used.release(s.start, s.end)
	}
	for _, p := range t.placed {
		t.used.release(p.at, p.at+t.blockSize())
	}
	t.freed = nil
	clear(t.placed)
	clear(t.searched)
	end := t.used.end()
	if t.length-end < mib {
		return t.session.closeLog()
	}
	if err := t.session.cut(end); err != nil {
		return err
	}
	t.next, t.length = end, end
	return nil
}
