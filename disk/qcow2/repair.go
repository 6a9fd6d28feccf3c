package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/mapped"
)

// Repair counts all references anew and corrects the refcounts, and the flags for writing in place that follow from them; refcount blocks that are
// not there or whose place is something else's are made again. If nothing is wrong besides, it takes away the marks of a dirty or damaged
// disk. L1 and L2 tables, of which there is one copy only, keep their pointers wherever they lead.
func Repair(path string, o disk.OpenOptions) (err error) {
	o.ReadOnly = false
	file, err := o.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	r := repair{Image: &Image{file: file, info: disk.Info{Path: path}}}
	for _, step := range []func() error{r.open, r.examine, r.counts, r.flags, r.marks} {
		if err := step(); err != nil {
			return fmt.Errorf("%s: repair: %w", path, err)
		}
		if r.sound {
			break
		}
	}
	return nil
}

// repair is an image under repair, of whose tables only the refcounts are in use.
type repair struct {
	*Image
	sound   bool    // nothing is wrong
	damaged bool    // something is beyond repair
	broken  []int64 // refcount blocks that have to be made again
}

func (r *repair) open() error {
	length, err := r.file.Size()
	if err != nil {
		return err
	}
	h, err := readHeader(r.file, length)
	if err != nil {
		return err
	}
	refs := newRefcounts(r.file, h, length)
	r.table = &table{header: h, file: r.file, refs: refs, dirty: map[int64]bool{}, dirtyL1: map[int64]bool{}}
	runs, err := refs.read(nil, func(b, _ int64, _ string) { r.broken = append(r.broken, b) })
	if err != nil {
		return err
	}
	r.keepFirst()
	runs = runs[:0]
	for _, at := range refs.table {
		if at != 0 {
			runs = append(runs, run{at >> h.clusterBits, 1, "refcount block"})
		}
	}
	refs.meta, err = newClusters(r.file.Name(), h.clusterBits, runs)
	r.store = mapped.New(r.file, r.table)
	return err
}

// keepFirst lets no two entries of the refcount table share a block.
func (r *repair) keepFirst() {
	seen := map[int64]bool{}
	for b, at := range r.table.refs.table {
		if at != 0 && seen[at] {
			r.broken = append(r.broken, int64(b))
			r.table.refs.table[b] = 0
		}
		seen[at] = true
	}
}

// examine finds out what is wrong.
func (r *repair) examine() error {
	refs := r.table.refs
	c := newCheck(r.file, refs)
	if err := c.run(r.file, refs.length.Load()); err != nil {
		return err
	}
	worst, faulty := c.report.Worst()
	r.damaged = worst == disk.Damage
	r.sound = !faulty && len(r.broken) == 0 && r.table.incompat&(incompatDirty|incompatCorrupt) == 0
	for b, at := range refs.table {
		if at != 0 && slices.Contains(c.overlapped, at>>refs.clusterBits) {
			r.broken = append(r.broken, int64(b))
		}
	}
	return nil
}

// counts corrects the refcounts.
func (r *repair) counts() error {
	again := func() error { return nil }
	if len(r.broken) > 0 {
		if err := r.setMarks(r.table.incompat | incompatDirty); err != nil { // for some time used clusters may not be counted
			return err
		}
		for _, b := range r.broken {
			r.table.refs.disown(b)
		}
		// What the old blocks took is counted this time still.
		again = func() error { return r.recount(maxWalked, r.leave) }
		if err := r.sync(); err != nil {
			return err
		}
	}
	if err := r.recount(maxWalked, r.leave); err != nil {
		return err
	}
	if err := again(); err != nil {
		return err
	}
	if err := r.table.refs.trim(); err != nil {
		return err
	}
	return r.sync()
}

// leave lets pointers that lead nowhere be.
func (r *repair) leave() error { return nil }

// flags corrects the flags for writing in place. Where two parts of the file overlap, a table may be no table, and is left alone.
func (r *repair) flags() error {
	t := r.table
	l1, l2 := make([]byte, t.l1Entries*8), make([]byte, t.clusterSize())
	if err := disk.ReadFull(r.file, l1, t.l1At, "L1 table"); err != nil {
		return err
	}
	length := t.refs.length.Load()
	for k := int64(0); k < int64(len(l1)); k += 8 {
		at := host(binary.BigEndian.Uint64(l1[k:]))
		if !t.wholeCluster(at, length) {
			continue
		}
		n, err := t.refs.get(at >> t.clusterBits)
		if err != nil {
			return err
		}
		if r.damaged && n != 1 {
			continue
		}
		if err := disk.ReadFull(r.file, l2, at, "L2 table"); err != nil {
			return err
		}
		if err := r.flagsOf(l2, at); err != nil {
			return err
		}
	}
	if err := r.flagsOf(l1, t.l1At); err != nil {
		return err
	}
	return r.store.Flush()
}

// flagsOf corrects those of the table in p, which is at a byte of the file, and writes the sectors that change.
func (r *repair) flagsOf(p []byte, at int64) error {
	t := r.table
	for first := 0; first < len(p); first += sectorSize {
		sector, changed := p[first:min(len(p), first+sectorSize)], false
		for k := 0; k < len(sector); k += 8 {
			e := binary.BigEndian.Uint64(sector[k:])
			if e&flagCompressed != 0 || host(e) == 0 || host(e)%t.clusterSize() != 0 || host(e) >= t.refs.length.Load() {
				continue
			}
			n, err := t.refs.get(host(e) >> t.clusterBits)
			if err != nil {
				return err
			}
			if e&flagCopied != 0 != (n == 1) {
				binary.BigEndian.PutUint64(sector[k:], e^flagCopied)
				changed = true
			}
		}
		if !changed {
			continue
		}
		if _, err := r.file.WriteAt(sector, at+int64(first)); err != nil {
			return err
		}
		r.store.Wrote()
	}
	return nil
}

// marks takes away the mark of a dirty disk and, if nothing is left that is wrong, that of a damaged one.
func (r *repair) marks() error {
	marks := r.table.incompat &^ incompatDirty
	if !r.damaged {
		marks &^= incompatCorrupt
	}
	if marks == r.table.incompat {
		return nil
	}
	return r.setMarks(marks)
}

func (r *repair) setMarks(incompat uint64) error {
	if r.table.version < 3 {
		return nil
	}
	r.table.incompat = incompat
	return r.writeHeader(incompatAt, binary.BigEndian.AppendUint64(nil, incompat))
}
