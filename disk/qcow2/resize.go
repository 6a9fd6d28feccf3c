package qcow2

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/mapped"
	"github.com/sharevm/vmm/disk/internal/space"
)

var _ disk.Resizer = (*Image)(nil)

// Places in the header of what resizing changes, all in its first sector.
const (
	sizeAt = 24
	l1At   = 36 // number of entries, then place
)

// Resize implements [disk.Resizer]. It is refused if there are internal snapshots, which would be of another capacity than the disk.
func (i *Image) Resize(size int64) error {
	if err := i.resize(size); err != nil {
		return fmt.Errorf("%s: resize to %d bytes: %w", i.info.Path, size, err)
	}
	return nil
}

func (i *Image) resize(size int64) error {
	t := i.table
	switch {
	case size < 0 || size%sectorSize != 0:
		return fmt.Errorf("the size is not a multiple of %d", sectorSize)
	case t.snapshots > 0:
		return fmt.Errorf("%w: it has %d internal snapshots, which have the present size; delete them first (qemu-img snapshot -d)", disk.ErrUnsupported, t.snapshots)
	}
	if err := space.Begin(i.Front); err != nil {
		return err
	}
	err := i.store.Flush()
	switch {
	case err != nil || size == t.size:
		return err
	case size > t.size:
		err = i.grow(size)
	default:
		err = i.shrink(size)
	}
	if err == nil {
		i.info.Size = size
		space.SetSize(i.Front, size)
	}
	return err
}

// writeHeader changes a field of the header, durably. What was written before is durable then, too.
func (i *Image) writeHeader(at int64, p []byte) error {
	if _, err := i.file.WriteAt(p, at); err != nil {
		return err
	}
	return i.sync()
}

// sync publishes what was changed past the Store.
func (i *Image) sync() error {
	i.store.Wrote()
	return i.store.Flush()
}

// writeSize changes the capacity in the file.
func (i *Image) writeSize(size int64) error {
	return i.writeHeader(sizeAt, binary.BigEndian.AppendUint64(nil, uint64(size)))
}

// grow makes room in the L1 table, has what is added read as zeroes, and only then enters the size.
func (i *Image) grow(size int64) error {
	t := i.table
	before := t.size
	if err := i.clearBeyond(); err != nil {
		return err
	}
	bigger := *t.header
	bigger.size = size
	if err := bigger.fits(); err != nil {
		return err
	}
	if bigger.tables() > t.l1Entries {
		if err := i.extendL1(bigger.tables()); err != nil {
			return err
		}
	}
	t.resizePieces(bigger.tables())
	t.size = size
	err := i.zeroBehind(before)
	if err == nil {
		err = i.sync()
	}
	if err == nil {
		err = i.writeSize(size)
	}
	if err != nil {
		t.size = before
	}
	return err
}

// zeroBehind has what lies behind the old end of a disk read as zeroes: the rest of its last cluster, and what a larger parent has there.
func (i *Image) zeroBehind(before int64) error {
	t := i.table
	end := min(t.size, t.clustersFor(before)<<t.clusterBits)
	if i.parent != nil {
		end = max(end, t.clustersFor(min(t.size, i.parent.Size()))<<t.clusterBits)
	}
	return bounded{i.store, t}.WriteZeroes(before, max(0, end-before), true)
}

// resizePieces makes the list of pieces long enough for so many L2 tables.
func (t *table) resizePieces(tables int64) {
	n := tables << t.perTable()
	if n <= int64(len(t.pieces)) {
		return
	}
	pieces := make([]atomic.Pointer[piece], n)
	for id := range t.pieces {
		pieces[id].Store(t.pieces[id].Load())
	}
	t.pieces = pieces
}

// extendL1 makes the L1 table longer: where it is if its last cluster has the room, and else elsewhere, to where the header then points.
func (i *Image) extendL1(entries int64) error {
	t := i.table
	at, had, need := t.l1At, t.clustersFor(t.l1Entries*8), t.clustersFor(entries*8)
	first := t.l1Entries / (sectorSize / 8) // sector that changes
	t.mu.Lock()
	if need > had {
		c, err := t.refs.reserve(need, 0)
		if err == nil {
			err = t.refs.countAll(c, need)
		}
		if err != nil {
			t.mu.Unlock()
			return err
		}
		at, first = c<<t.clusterBits, 0
	}
	was := t.header.l1At
	t.l1 = append(t.l1, make([]uint64, entries-t.l1Entries)...)
	t.l1Entries, t.l1At = entries, at
	for sector := first; sector*(sectorSize/8) < entries; sector++ {
		t.dirtyL1[sector] = true
	}
	t.mu.Unlock()
	if err := i.sync(); err != nil {
		return err
	}
	p := binary.BigEndian.AppendUint32(nil, uint32(entries))
	p = binary.BigEndian.AppendUint64(p, uint64(at))
	if at != was {
		t.mu.Lock()
		for c := range had {
			t.refs.freed = append(t.refs.freed, was>>t.clusterBits+c)
		}
		t.mu.Unlock()
	}
	return i.writeHeader(l1At, p)
}

// shrink empties what lies behind the new end, then enters the size, and gives the space back.
func (i *Image) shrink(size int64) error {
	t := i.table
	before := t.size
	// Qemu does not look at the rest of the last cluster when it makes the disk larger again.
	err := i.zeroRest(size)
	t.size = size
	if err == nil {
		err = i.clearBeyond()
	}
	if err == nil {
		err = i.writeSize(size)
	}
	if err != nil {
		t.size = before
		return err
	}
	return i.giveBack()
}

// zeroRest zeroes what is stored from the new end to that of its cluster.
func (i *Image) zeroRest(size int64) error {
	end := i.table.clustersFor(size) << i.table.clusterBits
	if size == end {
		return nil
	}
	at, n, err := i.table.Find(size, end-size)
	if err != nil || at == mapped.Hole {
		return err
	}
	return i.store.WriteZeroes(size, n, true)
}

// giveBack counts down all that was freed, and ends the file behind what is in use.
func (i *Image) giveBack() error {
	t := i.table
	if err := i.settleFreed(); err != nil {
		return err
	}
	t.mu.Lock()
	err := t.refs.cutEnd()
	t.mu.Unlock()
	if err != nil {
		return err
	}
	return i.sync()
}

// settleFreed flushes until everything that was freed is counted down in the file.
func (i *Image) settleFreed() error {
	r := i.table.refs
	for len(r.freed)+len(r.freeing) > 0 {
		if err := i.sync(); err != nil {
			return err
		}
	}
	return nil
}
