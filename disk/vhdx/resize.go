package vhdx

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/disk"
)

// Resize implements [disk.Resizer], up to 64 TiB. A table that becomes too long for its region moves to a longer one.
func (i *Image) Resize(size int64) error { return i.named("resize", i.resize(size)) }

func (i *Image) resize(size int64) error {
	if err := i.maintain(); err != nil {
		return err
	}
	m := i.metadata
	switch {
	case size < 0 || size%m.sector != 0:
		return fmt.Errorf("the size must be a multiple of %d bytes; %d is not", m.sector, size)
	case size > maxSize:
		return fmt.Errorf("a VHDX holds at most 64 TiB, %d bytes are more", size)
	case size == m.size:
		return nil
	case size > m.size && m.locator != nil && i.parent == nil:
		return fmt.Errorf("%w: without its parent nobody can tell what must not shine through from there", disk.ErrUnsupported)
	}
	if err := i.session.begin(); err != nil {
		return err
	}
	change := i.lengthen
	if size < m.size {
		change = i.shorten
	}
	if err := change(size); err != nil {
		return err
	}
	if err := i.reload(); err != nil {
		return err
	}
	return i.finish()
}

// setSize has the metadata say that the disk has size bytes.
func (i *Image) setSize(v *revision, size int64) error {
	if err := v.setItem(i.table.regions.metadata, itemSize, binary.LittleEndian.AppendUint64(nil, uint64(size))); err != nil {
		return err
	}
	return i.foresee(v, size, i.metadata.locator != nil)
}

// shorten makes the disk smaller. The entries of the blocks that are cut off and that the table still has become empty with the same step; what lies
// behind the table's new end only later, where nobody looks.
func (i *Image) shorten(size int64) error {
	t, s := i.table, i.session
	old, l := t.layout, t.layout
	l.size = size
	v := newRevision(s.file)
	if err := i.setSize(v, size); err != nil {
		return err
	}
	none := make([]byte, 8)
	for block := l.blocks(); block < old.blocks() && l.index(block) < l.entries(); block++ {
		if err := v.write(none, t.regions.bat.start+l.index(block)*8); err != nil {
			return err
		}
	}
	if err := s.commit(v, t.length&^(mib-1)); err != nil {
		return err
	}
	if err := s.file.Zero(t.regions.bat.start+l.entries()*8, (old.entries()-l.entries())*8, true); err != nil {
		return err
	}
	return s.file.Sync()
}

// lengthen makes the disk larger. All that the new size needs is made ready where nobody looks with the old one: the rest of the last block,
// and the entries behind the table's end.
func (i *Image) lengthen(size int64) error {
	if err := i.clearRest(size); err != nil {
		return err
	}
	t, s := i.table, i.session
	old, l := t.layout, t.layout
	l.size = size
	if err := s.openLog(t.length &^ (mib - 1)); err != nil { // what is taken at the file's end is given back after a crash
		return err
	}
	bat, moved, err := i.longerTable(l)
	if err != nil {
		return err
	}
	if err := i.fillTable(old, l, bat); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	v := newRevision(s.file)
	if err := i.setSize(v, size); err != nil {
		return err
	}
	if moved {
		if err := v.setRegion(t.regions, regionBAT, bat); err != nil {
			return err
		}
	}
	return s.commit(v, t.length&^(mib-1))
}

// clearRest has what the last block has behind the end of the disk, up to size, read as zeroes once it belongs to the disk.
func (i *Image) clearRest(size int64) error {
	t := i.table
	end := t.size
	block, in := end>>t.blockShift, end&(t.blockSize()-1)
	if in == 0 {
		return nil
	}
	n := min(t.blockSize(), size-block<<t.blockShift) - in
	e, err := t.load(t.index(block))
	if err != nil {
		return err
	}
	if e.stored() { // the file may end inside it
		t.mu.Lock()
		err := t.openLog()
		if err == nil {
			err = t.extend(int64(e.offset()) + t.blockSize())
		}
		t.mu.Unlock()
		if err != nil {
			return err
		}
	}
	switch {
	case e.state() == fullyPresent:
		if err := t.file.Zero(int64(e.offset())+in, n, true); err != nil {
			return err
		}
	case e.state() == partiallyPresent, e.state() == notPresent && i.parent != nil && i.parent.Size() > end:
		t.size = end + n
		err := t.MarkZero(end, n)
		t.size = end
		if err != nil {
			return err
		}
	default:
		return nil
	}
	i.store.Wrote()
	if err := i.Flush(); err != nil {
		return err
	}
	return t.settle()
}

// longerTable returns the region for the table of a disk as l says: the present one if that is long enough, else room elsewhere in the file to which
// the table has been copied.
func (i *Image) longerTable(l layout) (bat region, moved bool, err error) {
	t := i.table
	bat = t.regions.bat
	if l.entries()*8 <= bat.end-bat.start {
		return bat, false, nil
	}
	if bat, err = t.newRegion(tableRoom(l)); err != nil {
		return bat, false, err
	}
	return bat, true, t.copyTable(bat, func(_ int64, e entry) entry { return e })
}

// newRegion takes room that reads as zeroes. The log is open, so that what is taken at the file's end is given back after a crash.
func (t *table) newRegion(length int64) (region, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, err := t.grow(length)
	return region{start: at, end: at + length}, err
}

// copyTable writes the table, as of makes of each entry, to a new region.
func (t *table) copyTable(to region, of func(index int64, e entry) entry) error {
	le := binary.LittleEndian
	return t.pieces(t.entries(), func(first int64, p []byte) error {
		some := false
		for k := range int64(len(p) / 8) {
			if e := entry(le.Uint64(p[k*8:])); e != 0 {
				some = true
				le.PutUint64(p[k*8:], uint64(of(first+k, e)))
			}
		}
		if !some {
			return nil
		}
		_, err := t.file.WriteAt(p, to.start+first*8)
		return err
	})
}

// fillTable writes the entries of what l has and old has not, in a table at bat. Blocks of a fixed disk are made.
func (i *Image) fillTable(old, l layout, bat region) error {
	t := i.table
	if err := t.file.Zero(bat.start+old.entries()*8, (l.entries()-old.entries())*8, true); err != nil {
		return err
	}
	// Up to covered the parent is not to shine through, and up to end something may be there that is no zero.
	first, covered, end := old.blocks(), int64(0), int64(0)
	if i.parent != nil {
		covered = min(l.blocks(), (i.parent.Size()+l.blockSize()-1)>>l.blockShift)
		end = max(covered, min(l.blocks(), old.chunks()<<l.ratioShift))
	}
	at := int64(-1)
	if i.metadata.fixed {
		end = l.blocks()
		t.mu.Lock()
		at = t.next
		err := t.extend(at + (l.blocks()-first)<<l.blockShift)
		t.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return writeEntries(t.file, l, bat, first, end, func(block int64) entry {
		switch {
		case at >= 0:
			return newEntry(fullyPresent, at+(block-first)<<l.blockShift)
		case block < covered:
			return newEntry(zero, 0)
		}
		return newEntry(notPresent, 0)
	})
}
