package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/sharevm/vmm/disk"
)

// recover counts all references and corrects the refcounts if the last writer did not close the disk, so that nothing in use can be taken for
// free, and what was allocated for nothing is given back. The mark goes last: an interrupted recovery starts again.
func (i *Image) recover() error {
	if i.table.version < 3 {
		return i.recoverV2()
	}
	if i.table.incompat&incompatDirty == 0 {
		return nil
	}
	err := i.count(maxWalked)
	if err == nil {
		err = i.mark(false)
	}
	if err != nil {
		return fmt.Errorf("%s: recover from a writer that did not close it: %w", i.info.Path, err)
	}
	return nil
}

// recoverV2 is recover for version 2, which has no mark of a writer: the tables are looked at each time, if they are not large. That finds
// clusters that are counted and not used; nothing else can be wrong if the last writer knew in which order to write.
func (i *Image) recoverV2() error {
	err := i.count(windowCost + surveyed)
	if errors.Is(err, disk.ErrUnsupported) || errors.Is(err, disk.ErrCorrupt) {
		return nil
	}
	return err
}

// mark sets or clears the mark of a disk that is being written, durably, and disowns what programs have added that would be out of date from
// now on, such as bitmaps of changed blocks.
func (i *Image) mark(dirty bool) error {
	t := i.table
	if t.version < 3 {
		return nil
	}
	t.incompat &^= incompatDirty
	if dirty {
		t.incompat |= incompatDirty
	}
	var p [autoclearAt + 8 - incompatAt]byte
	if err := disk.ReadFull(i.file, p[:autoclearAt-incompatAt], incompatAt, "header"); err != nil {
		return err
	}
	binary.BigEndian.PutUint64(p[:], t.incompat)
	if _, err := i.file.WriteAt(p[:], incompatAt); err != nil {
		return err
	}
	i.store.Wrote()
	return i.store.Flush()
}

// count makes all refcounts right. It reads as much of the tables as budget says, in bytes, and changes nothing once a pointer leads nowhere.
func (i *Image) count(budget int64) error {
	return i.recount(budget, func() error {
		return disk.Corrupt(i.info.Path, -1, "its tables hold pointers that lead nowhere; open it read-only, and check it")
	})
}

// recount is count, which has lost say, with an error or not, what a pointer that leads nowhere means. New refcount blocks go behind everything that
// the file holds, because until it is done nothing says what is free.
func (i *Image) recount(budget int64, lost func() error) error {
	t := i.table
	r, all, last := t.refs, t.refs.fresh, int64(1)
	r.cursor = all
	defer func() { r.cursor = 0 }()
	c := newCensus(all)
	astray := false
	w := walker{
		header: t.header, length: r.length.Load(),
		visit:  func(ref reference) { c.add(ref); last = max(last, ref.first+ref.n) },
		broken: func(int64, string) { astray = true },
	}
	err := c.windows(w, i.file, all, budget, func() error {
		r.cursor = max(r.cursor, last) // compressed data may end beyond the file
		if astray {
			if err := lost(); err != nil {
				return err
			}
		}
		changed, err := t.correct(c)
		if err != nil || !changed {
			return err
		}
		i.store.Wrote()
		return i.store.Flush()
	})
	if err != nil {
		return err
	}
	if err := i.forgetBeyond(max(all, r.fresh)); err != nil || astray {
		return err
	}
	return r.cut(last, all)
}

// forgetBeyond corrects the refcounts of what lies behind the end of the file.
func (i *Image) forgetBeyond(end int64) error {
	changed := false
	err := i.table.refs.beyond(end, func(cluster int64) error {
		changed = true
		return i.table.refs.set(cluster, 0)
	})
	if err != nil || !changed {
		return err
	}
	i.store.Wrote()
	return i.store.Flush()
}

// correct sets the refcounts of a window to what was counted, and says whether any was wrong.
func (t *table) correct(c *census) (changed bool, err error) {
	t.mu.Lock()
	defer t.settle()
	r := t.refs
	most := uint64(1)<<(1<<min(r.refOrder, 5)) - 1
	for i, found := range c.counts {
		cluster := c.from + int64(i)
		n, err := r.get(cluster)
		if err != nil {
			return changed, err
		}
		if n == uint64(found) || found == math.MaxUint16 {
			continue
		}
		if uint64(found) > most {
			return changed, disk.Corrupt(t.file.Name(), cluster<<t.clusterBits, "%d references to this cluster are more than the refcounts can say", found)
		}
		if err := r.count(cluster); err != nil {
			return changed, err
		}
		if err := r.set(cluster, uint64(found)); err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, nil
}

// cut makes the file end where the last cluster that is used does, unless refcount blocks were added behind all that it held.
func (r *refcounts) cut(last, all int64) error {
	if r.fresh > all || last >= all {
		return nil
	}
	r.fresh = last
	r.opened = last << r.clusterBits
	return r.trim()
}
