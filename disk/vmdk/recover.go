package vmdk

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/relocate"
)

const (
	// maxMoved bounds, in bytes, how much is moved at Open to fill what a crash left unused in the middle of a file. Gaps beyond it
	// wait for new grains.
	maxMoved = 256 << 20
	// recoverStep is how many tables are put right before they are written, which bounds memory.
	recoverStep = 1024
)

// recovery puts an extent right whose last writer did not close it. At each moment the file is as good as before: tables and directories are
// published by the Store, in its order; room is given back only when nothing in the file refers to it any more; and the
// mark of the unclean extent goes last, so that an interrupted recovery starts again.
type recovery struct {
	sparseSpace
	scan *extentCheck
	used *slots
	// blind says that some tables cannot be read, so that nobody knows which room belongs to nothing.
	blind bool
}

// recover puts the extent right and takes the mark away.
func (s sparseSpace) recover() error {
	if !s.table.unclean {
		return nil
	}
	if err := s.tidy(); err != nil {
		return err
	}
	s.table.unclean = false
	if err := s.mark(false); err != nil {
		return err
	}
	return s.Flush()
}

// tidy makes both copies of the directory and the tables agree, and gives room that belongs to nothing back.
func (s sparseSpace) tidy() error {
	r := &recovery{sparseSpace: s}
	defer r.release()
	for _, step := range []func() error{r.restore, r.survey, r.reconcile, r.cut, r.complete, r.moveDirectories, r.closeGaps, r.cut} {
		if err := step(); err != nil {
			return err
		}
	}
	return s.Flush()
}

// restore takes a damaged directory into use again, without the entries that cannot be right.
func (r *recovery) restore() error {
	t := r.table
	if t.damaged == nil {
		return nil
	}
	raw := make([]byte, t.entries()*4)
	if err := disk.ReadFull(t.file, raw, t.spare*sectorSize, "damaged grain directory"); err != nil {
		return err
	}
	taken := newSlots(9)
	for _, m := range t.meta {
		taken.mark(m.start, m.end)
	}
	taken.mark(t.spare*sectorSize, t.spare*sectorSize+int64(len(raw)))
	t.rgd = make(directory, t.entries())
	for i := range t.rgd {
		e := binary.LittleEndian.Uint32(raw[i*4:])
		start, end := int64(e)*sectorSize, int64(e)*sectorSize+t.tableBytes()
		if e != 0 && end <= t.length && !taken.anyUsed(start, end) {
			taken.mark(start, end)
			t.rgd[i] = e
		} else {
			t.born[int64(i)] = true // to be written over
		}
	}
	t.redundantGD, t.damaged = t.spare, nil
	r.Wrote()
	return r.table.mapTables()
}

// release gives the memory of the last survey back.
func (r *recovery) release() {
	if r.scan != nil {
		r.scan.release()
	}
}

// survey finds out what is in use.
func (r *recovery) survey() (err error) {
	r.release()
	r.scan = newExtentCheck(r.table) // what another has read would be out of date
	r.used, err = r.scan.slots()
	r.blind = r.scan.unreadable > 0
	return err
}

// reconcile makes the copies of each table agree. An entry that only one of them has is kept: its grain was in the
// file before either table.
func (r *recovery) reconcile() error {
	t := r.table
	if t.rgd == nil {
		return nil
	}
	changed := 0
	for i := range t.entries() {
		if t.gd[i] == 0 || t.rgd[i] == 0 {
			continue
		}
		first, broken1, err := r.scan.copied(0, t.gd, i)
		if err != nil {
			return err
		}
		second, broken2, err := r.scan.copied(1, t.rgd, i)
		if err != nil {
			return err
		}
		switch {
		case broken1 != nil && broken2 != nil, first == nil && second == nil && broken1 == nil && broken2 == nil:
			continue // beyond help, or empty
		case broken1 != nil:
			r.replace(i, second)
		case broken2 != nil:
			r.replace(i, first)
		case !r.merge(i, first, second):
			continue
		}
		if changed++; changed%recoverStep == 0 {
			if err := r.Flush(); err != nil {
				return err
			}
		}
	}
	return r.Flush()
}

// replace writes table i anew in both places. Nil is a table of zeroes.
func (r *recovery) replace(i int64, content grainTable) {
	t := make(grainTable, r.table.tableEntries)
	copy(t, content)
	r.table.rewrite(i, t)
	r.Wrote()
}

// merge makes table i of what two sound copies say, either of which may be nil, which is all zeroes. It reports whether they differ.
func (r *recovery) merge(i int64, first, second grainTable) (differ bool) {
	t := r.table
	merged := make(grainTable, t.tableEntries)
	copy(merged, first)
	for k := range merged {
		b := uint32(0)
		if second != nil {
			b = second[k]
		}
		if merged[k] == b {
			continue
		}
		differ = true
		if merged[k] == 0 && int64(k) < t.inDisk(i) && r.claim(b) {
			merged[k] = b
		}
		t.dirty[i*t.sectorsPerTable()+int64(k)/entriesPerSector] = true
	}
	if differ {
		t.keep(i, merged)
		r.Wrote()
	}
	return differ
}

// claim takes the place of entry e for a grain, unless something else is there.
func (r *recovery) claim(e uint32) bool {
	if e == zeroGrain {
		return true
	}
	start := int64(e) * sectorSize
	end := start + r.table.grainBytes()
	if r.used.anyUsed(start, end) {
		return false
	}
	r.used.mark(start, end)
	return true
}

// cut ends the file behind the last thing in use. All tables in the file have come to agree on that.
func (r *recovery) cut() error {
	t := r.table
	if end := r.used.end(); end < t.length && !r.blind {
		if err := t.file.Truncate(end); err != nil {
			return err
		}
		r.Wrote()
		t.length = end
	}
	t.next, t.limit = t.alignUp(t.length), t.length
	return nil
}

// complete finds places for tables that only one directory has.
func (r *recovery) complete() error {
	t := r.table
	if t.rgd == nil {
		return nil
	}
	for i := range t.entries() {
		if (t.gd[i] == 0) == (t.rgd[i] == 0) {
			continue
		}
		to, from := t.gd, t.rgd
		if t.gd[i] != 0 {
			to, from = t.rgd, t.gd
		}
		content, err := t.readTable(from[i], i)
		if errors.Is(err, disk.ErrCorrupt) {
			continue // beyond help
		}
		if err != nil {
			return err
		}
		at, err := t.extend(t.tableBytes())
		if err != nil {
			return err
		}
		r.used.mark(at, at+t.tableBytes())
		to[i] = uint32(at / sectorSize)
		t.bornWith(i, content)
		r.Wrote()
	}
	if err := r.Flush(); err != nil {
		return err
	}
	return r.table.mapTables()
}

// moveDirectories moves the directories to room before them that belongs to nothing, if they lie behind where everything would end if it were packed.
func (r *recovery) moveDirectories() error {
	t := r.table
	packed := r.used.count << t.shift
	if r.blind || max(t.header.gd, t.redundantGD)*sectorSize < packed {
		return nil
	}
	moved := false
	for _, d := range []struct {
		place   *int64
		content directory
	}{{&t.redundantGD, t.rgd}, {&t.header.gd, t.gd}} {
		if *d.place*sectorSize < packed {
			continue
		}
		p := padded(encode(d.content))
		at, ok := r.used.gap(int64(len(p)), packed)
		if !ok {
			continue
		}
		r.Wrote()
		if _, err := t.file.WriteAt(p, at); err != nil {
			return err
		}
		r.used.mark(at, at+int64(len(p)))
		*d.place, moved = at/sectorSize, true
	}
	if !moved {
		return nil
	}
	if err := r.commit(); err != nil {
		return err
	}
	if err := t.mapTables(); err != nil {
		return err
	}
	return r.survey()
}

// closeGaps moves grains and tables from the end of the file into room before it that belongs to nothing, or keeps that for new
// grains if it is much.
func (r *recovery) closeGaps() error {
	t := r.table
	if r.blind {
		return nil
	}
	var gaps []int64
	// If all were packed, they would end here.
	r.used.free(r.used.count, func(slot int64) bool {
		gaps = append(gaps, slot<<t.shift)
		return len(gaps) <= maxMoved>>t.shift
	})
	if len(gaps) == 0 {
		return nil
	}
	if len(gaps) > maxMoved>>t.shift {
		t.free = gaps
		return nil
	}
	t.free = gaps
	packed, changed := r.used.count<<t.shift, 0
	for i := range t.entries() {
		content, err := t.table(i)
		if err != nil || content == nil {
			continue // a damaged table stays as it is
		}
		moved, err := r.moveGrains(i, content, packed)
		if err != nil {
			return err
		}
		if !r.moveTable(i, content, packed) && !moved {
			continue
		}
		if changed++; changed%recoverStep == 0 {
			if err := r.Flush(); err != nil {
				return err
			}
		}
	}
	if err := r.Flush(); err != nil {
		return err
	}
	if err := r.table.mapTables(); err != nil {
		return err
	}
	return r.survey()
}

// gap takes one of the free places, of which there is at least one.
func (r *recovery) gap() int64 {
	t := r.table
	at := t.free[0]
	t.free = t.free[1:]
	return at
}

// moveGrains moves the grains of table i that lie at packed or behind it into gaps.
func (r *recovery) moveGrains(i int64, content grainTable, packed int64) (moved bool, err error) {
	t := r.table
	for k, e := range content[:t.inDisk(i)] {
		from := int64(e) * sectorSize
		if e <= zeroGrain || from < packed || len(t.free) == 0 {
			continue
		}
		to := r.gap()
		r.Wrote()
		if err := relocate.Block(t.file, from, to, t.grainBytes()); err != nil {
			return moved, err
		}
		content[k] = uint32(to / sectorSize)
		t.dirty[i*t.sectorsPerTable()+int64(k)/entriesPerSector] = true
		moved = true
	}
	return moved, nil
}

// moveTable moves the copies of table i that lie at packed or behind it into gaps.
func (r *recovery) moveTable(i int64, content grainTable, packed int64) (moved bool) {
	t := r.table
	for _, d := range []directory{t.gd, t.rgd} {
		if d != nil && d[i] != 0 && int64(d[i])*sectorSize >= packed && len(t.free) > 0 {
			d[i] = uint32(r.gap() / sectorSize)
			moved = true
		}
	}
	if moved {
		t.bornWith(i, content)
		r.Wrote()
	}
	return moved
}

// recover puts all extents right that the last writer left unclean.
func (i *Image) recover() error {
	if err := i.settle(); err != nil {
		return err
	}
	if i.info.Unclean { // a change of size may have come as far as the header
		if err := i.describeSize(); err != nil {
			return err
		}
	}
	for _, s := range i.sparse() {
		if err := s.recover(); err != nil {
			return fmt.Errorf("%s: recover from a writer that did not close it: %w", s.name(), err)
		}
	}
	return nil
}
