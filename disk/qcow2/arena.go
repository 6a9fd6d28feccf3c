package qcow2

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/relocate"
	"github.com/sharevm/vmm/disk/internal/space"
)

var _ disk.Arrangeable = (*Image)(nil)

// Arenas implements [disk.Arrangeable]. Internal snapshots, which share clusters with the disk, and compressed clusters, which are smaller than a
// slot, are refused. If the image is open for writing, clusters that belong to nothing are freed first.
func (i *Image) Arenas() ([]disk.Arena, error) {
	if err := i.arrangeable(); err != nil {
		return nil, fmt.Errorf("%s: arrange its clusters: %w", i.info.Path, err)
	}
	return []disk.Arena{&arena{i, i.table}}, nil
}

func (i *Image) arrangeable() error {
	t := i.table
	if err := i.Flush(); err != nil {
		return err
	}
	if t.snapshots > 0 {
		return fmt.Errorf("%w: it has %d internal snapshots, which share its clusters; delete them first (qemu-img snapshot -d)", disk.ErrUnsupported, t.snapshots)
	}
	if err := t.plain(); err != nil {
		return err
	}
	if t.writable {
		if err := space.Begin(i.Front); err != nil {
			return err
		}
		if err := i.tidy(); err != nil {
			return err
		}
	} else if _, err := t.refs.read(nil, nil); err != nil {
		return err
	}
	return t.mapTables()
}

// plain says whether each cluster has a place of its own. All tables are in the file as they are in memory.
func (t *table) plain() error {
	raw := make([]byte, t.clusterSize())
	for i := range t.header.tables() {
		at := host(t.l1[i])
		if at == 0 {
			continue
		}
		if t.l1[i]&flagCopied == 0 {
			return disk.Unsupported(t.file.Name(), t.l1At+i*8, "L2 table %d is marked as shared; check the disk", i)
		}
		if err := disk.ReadFull(t.file, raw, at, "L2 table"); err != nil {
			return err
		}
		for k := range min(t.l2Entries(), t.clusters()-i<<t.l2Shift) {
			switch e := binary.BigEndian.Uint64(raw[k*8:]); {
			case e&flagCompressed != 0:
				return disk.Unsupported(t.file.Name(), at+k*8, "the disk has compressed clusters, which cannot be moved; convert it")
			case host(e) != 0 && e&flagCopied == 0:
				return disk.Unsupported(t.file.Name(), at+k*8, "cluster %d is marked as shared; check the disk", i<<t.l2Shift+k)
			}
		}
	}
	return nil
}

// tidy has nothing in the file counted as used but what is, and finds that nothing has two uses.
func (i *Image) tidy() error {
	if err := i.clearBeyond(); err != nil {
		return err
	}
	i.table.bitmaps = bitmapsExtension{} // Begin has disowned them
	if err := i.settleFreed(); err != nil {
		return err
	}
	c := newCheck(i.file, i.table.refs)
	if err := c.run(i.file, i.table.refs.length.Load()); err != nil {
		return err
	}
	worst, faulty := c.report.Worst()
	switch {
	case worst == disk.Damage:
		p := c.report.Problems[0]
		return disk.Corrupt(p.File, p.Offset, "%s; check the disk", p.What)
	case faulty:
		return i.count(maxWalked)
	}
	return nil
}

// mapTables finds out anew which clusters hold tables.
func (t *table) mapTables() error {
	runs, err := fixedRuns(t.file, t.header)
	if err != nil {
		return err
	}
	for _, e := range t.l1 {
		if host(e) != 0 {
			runs = append(runs, run{host(e) >> t.clusterBits, 1, "L2 table"})
		}
	}
	for _, at := range t.refs.table {
		if at != 0 {
			runs = append(runs, run{at >> t.clusterBits, 1, "refcount block"})
		}
	}
	t.refs.meta, err = newClusters(t.file.Name(), t.clusterBits, runs)
	return err
}

// arena implements [disk.Arena]: its slots are the file's clusters without those that hold tables, in order. Trim and writes to the image, which make
// and move tables, give slots other numbers.
type arena struct {
	i *Image
	t *table
}

func (a *arena) Name() string     { return a.t.file.Name() }
func (a *arena) BlockSize() int64 { return a.t.clusterSize() }
func (a *arena) Base() int64      { return 0 }
func (a *arena) Blocks() int64    { return a.t.clusters() }

// Slots implements [disk.Arena].
func (a *arena) Slots() int64 { return a.tables().slot(a.t.refs.fresh) }

// Slot implements [disk.Arena].
func (a *arena) Slot(block int64) int64 {
	e, _, err := a.t.entry(block)
	if err != nil || host(e) == 0 {
		return -1
	}
	return a.tables().slot(host(e) >> a.t.clusterBits)
}

// tables returns the clusters that hold tables.
func (a *arena) tables() *clusters {
	if meta := a.t.refs.meta; len(meta.added) > 0 {
		if a.t.mapTables() != nil {
			return meta // they overlap, which Arenas would have found
		}
	}
	return a.t.refs.meta
}

// stored returns the entry of a block that is stored, which may be changed. Called with mu held.
func (a *arena) stored(block int64) (uint64, error) {
	p, err := a.t.own(block >> a.t.shift)
	if err != nil {
		return 0, err
	}
	e := p[block&(a.t.entries()-1)]
	if host(e) == 0 {
		return 0, fmt.Errorf("%s: block %d is not stored", a.Name(), block)
	}
	return e, nil
}

// Drop implements [disk.Arena].
func (a *arena) Drop(block int64) error {
	e := uint64(0)
	if a.t.backed {
		if e = flagZero; a.t.version < 3 {
			return fmt.Errorf("%s: %w: a disk of version 2 cannot hide its parent's contents without storing zeroes", a.Name(), disk.ErrUnsupported)
		}
	}
	return a.change(func() error {
		if _, err := a.stored(block); err != nil {
			return err
		}
		a.t.change(block, e)
		return nil
	})
}

// Move implements [disk.Arena].
func (a *arena) Move(block, slot int64) error {
	to := a.tables().nth(slot)
	return a.change(func() error {
		e, err := a.stored(block)
		if err != nil {
			return err
		}
		if err := a.t.refs.take(to); err != nil {
			return fmt.Errorf("slot %d: %w", slot, err)
		}
		if e&flagZero == 0 {
			if err := relocate.Block(a.t.file, host(e), to<<a.t.clusterBits, a.t.clusterSize()); err != nil {
				a.t.refs.forget(to, 1)
				return err
			}
		}
		a.t.change(block, uint64(to<<a.t.clusterBits)|flagCopied|e&flagZero)
		return nil
	})
}

// change has fn change a table, and flushes if too much waits for it.
func (a *arena) change(fn func() error) error {
	if err := space.Begin(a.i.Front); err != nil {
		return err
	}
	a.t.mu.Lock()
	err := fn()
	full := len(a.t.refs.freed) > maxFreed
	a.t.settle()
	a.i.store.Wrote()
	if err == nil && (full || a.t.unsaved.Load() >= dirtyBytes) {
		err = a.Flush()
	}
	return err
}

// Flush implements [disk.Arena].
func (a *arena) Flush() error {
	if err := a.i.Flush(); err != nil {
		return err
	}
	return a.i.settleFreed()
}

// Trim implements [disk.Arena]. Tables that lie behind the last slot in use are moved to before it.
func (a *arena) Trim() error {
	if err := space.Begin(a.i.Front); err != nil {
		return err
	}
	if err := a.Flush(); err != nil {
		return err
	}
	a.t.mu.Lock()
	err := a.t.lowerTables()
	a.t.settle()
	if err != nil {
		return fmt.Errorf("%s: move tables from its end: %w", a.Name(), err)
	}
	if err := a.i.sync(); err != nil {
		return err
	}
	if err := a.i.giveBack(); err != nil {
		return err
	}
	return a.t.mapTables()
}
