package vmdk

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/mapped"
)

// stream is the table of a streamOptimized extent. New grains, tables and directory are appended to the file, where the footer was: while
// somebody writes, the header has the directory's place instead, or zero until there is something to find. It never sends a reader to
// the footer meanwhile, since that may outlive what it leads to. Close writes a footer again. Old versions of grains stay in the file as waste.
type stream struct {
	*sparse
	// open is the table that grains were appended to last, if it has no place yet, or -1. It goes behind its last grain.
	open int64
	// unplaced are the tables without a place in the file.
	unplaced map[int64]bool
	// again are stages whose writing failed.
	again []mapped.Stage
}

var _ mapped.Unpacker = (*stream)(nil)

func newStream(s *sparse) *stream {
	return &stream{sparse: s, open: -1, unplaced: map[int64]bool{}}
}

// end is the file offset behind the last thing in use.
func (t *stream) end() (int64, error) {
	end := max(t.meta[len(t.meta)-1].end, t.overhead*sectorSize)
	var last uint32
	scan := newExtentCheck(t.sparse)
	defer scan.release()
	err := scan.eachGrain(func(e uint32) { last = max(last, e) })
	if err != nil || last == 0 {
		return end, err
	}
	var p [grainHeader]byte
	at := int64(last) * sectorSize
	if err := disk.ReadFull(t.file, p[:], at, "grain"); err != nil {
		return 0, err
	}
	return max(end, at+sectors(grainHeader+int64(binary.LittleEndian.Uint32(p[8:])))*sectorSize), nil
}

// begin makes the header lead to the directory, because the footer will be overwritten. That of an empty extent is forgotten, and
// gets a place behind the first grains.
func (t *stream) begin() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	empty := !slices.ContainsFunc(t.gd, func(e uint32) bool { return e != 0 })
	switch {
	case t.streamed && empty:
		if err := t.forget(); err != nil {
			return err
		}
	case t.footerAt != 0:
		t.next = t.footerAt
	default:
		if err := t.dropEnd(); err != nil {
			return err
		}
	}
	return t.writeHeader(true)
}

// forget has the directory and its tables, which are empty, get new places.
func (t *stream) forget() (err error) {
	t.next = max(t.overhead, t.descriptorOffset+t.descriptorSize, 1) * sectorSize
	t.header.gd = 0
	clear(t.gd)
	t.meta, err = metadata(t.file.Name(), t.header, t.gd)
	return err
}

// dropEnd has the next grain overwrite the end marker of a file without a footer.
func (t *stream) dropEnd() error {
	t.next = sectors(t.length) * sectorSize
	var last [sectorSize]byte
	if err := disk.ReadFull(t.file, last[:], t.next-sectorSize, "end"); err != nil {
		return err
	}
	if last == ([sectorSize]byte{}) && t.next-sectorSize >= t.meta[len(t.meta)-1].end {
		t.next -= sectorSize
	}
	return nil
}

// advance takes n bytes at the end of the file. Called with mu held.
func (t *stream) advance(n int64) {
	t.next += n
	t.length = max(t.length, t.next)
}

// roomFor says whether n more bytes, and the tables, can be addressed. Called with mu held.
func (t *stream) roomFor(n int64) error {
	if tables := t.entries() * (t.tableBytes() + 2*sectorSize); t.next+n+tables > sectorSize<<32 {
		return fmt.Errorf("%s: %w", t.file.Name(), disk.ErrFull)
	}
	return nil
}

// writeHeader overwrites, in one sector, what of the header changes.
func (t *stream) writeHeader(unclean bool) error {
	p := t.headerPatch(unclean)
	_, err := t.file.WriteAt(p.Data, p.Off)
	return err
}

func (t *stream) headerPatch(unclean bool) mapped.Patch {
	h := *t.header
	h.unclean = unclean
	h.streamed = !unclean && h.streamed
	return mapped.Patch{Off: flagsAt, Data: h.encode()[flagsAt : uncleanAt+1]}
}

// grainTableFor returns grain table i, making it if need be. Called with mu held.
func (t *stream) grainTableFor(i int64) (grainTable, error) {
	g, err := t.load(i)
	if err == nil && g == nil {
		g = make(grainTable, t.tableEntries)
		t.rewrite(i, g)
		t.unplaced[i] = true
	}
	return g, err
}

// takePlace takes room for a table at the end of the file, and returns what to write there. Called with mu held.
func (t *stream) takePlace(i int64) mapped.Patch {
	g := *t.tables[i].Load()
	p := mapped.Patch{Off: t.next, Data: padded(append(marker(markTable, t.tableBytes()), encode(g)...))}
	t.gd[i] = uint32(t.next/sectorSize + 1)
	t.advance(int64(len(p.Data)))
	t.born[i] = true
	delete(t.unplaced, i)
	return p
}

// closeTable gives the table a place that grains were appended to last. Called with mu held.
func (t *stream) closeTable() error {
	i := t.open
	t.open = -1
	if i < 0 || !t.unplaced[i] {
		return nil
	}
	before := t.next
	p := t.takePlace(i)
	if _, err := t.file.WriteAt(p.Data, p.Off); err != nil {
		t.next, t.gd[i], t.unplaced[i], t.open = before, 0, true, i
		delete(t.born, i)
		return err
	}
	for sector := range t.sectorsPerTable() {
		delete(t.dirty, i*t.sectorsPerTable()+sector)
	}
	return nil
}

// Collect implements [mapped.Table]: tables that are new go with the data; then changed ones, and the directory if that is new; then the
// directory's new entries, or its place in the header.
func (t *stream) Collect() []mapped.Stage {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := append(t.again, nil)
	t.again = nil
	fresh := len(out) - 1
	rewritten := maps.Clone(t.dirty)
	for _, i := range slices.Sorted(maps.Keys(t.unplaced)) {
		out[fresh] = append(out[fresh], t.takePlace(i))
		for sector := range t.sectorsPerTable() {
			delete(rewritten, i*t.sectorsPerTable()+sector)
		}
	}
	t.open = -1
	t.taken.dirty, t.taken.born = t.dirty, t.born
	t.dirty, t.born = map[int64]bool{}, map[int64]bool{}
	var changed, last mapped.Stage
	if len(rewritten) > 0 {
		changed = t.tablePatches(rewritten)
	}
	switch {
	case len(t.taken.born) == 0:
	case t.header.gd != 0:
		last = t.directoryPatches()
	default:
		p := mapped.Patch{Off: t.next, Data: padded(append(marker(markGD, t.entries()*4), encode(t.gd)...))}
		t.header.gd = t.next/sectorSize + 1
		t.advance(int64(len(p.Data)))
		changed = append(changed, p)
		last = mapped.Stage{t.headerPatch(true)}
	}
	for _, stage := range []mapped.Stage{changed, last} {
		if len(stage) > 0 {
			out = append(out, stage)
		}
	}
	return out
}

// Restore implements [mapped.Table]: the same writes are tried again, before newer ones to the same places.
func (t *stream) Restore(stages []mapped.Stage) {
	t.sparse.Restore(stages)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.again = stages
}

// finish ends the file with a footer or, where the header leads to the directory, with the end marker alone.
func (t *stream) finish() error {
	if t.header.gd == 0 { // nothing was ever stored
		t.header.gd = t.next/sectorSize + 1
		p := padded(append(marker(markGD, t.entries()*4), encode(t.gd)...))
		if _, err := t.file.WriteAt(p, t.next); err != nil {
			return err
		}
		t.advance(int64(len(p)))
	}
	end := marker(markEnd, 0)
	if t.streamed {
		end = t.header.tail()
	}
	if _, err := t.file.WriteAt(end, t.next); err != nil {
		return err
	}
	t.length = t.next + int64(len(end))
	if err := t.file.Truncate(t.length); err != nil {
		return err
	}
	if err := t.file.Sync(); err != nil {
		return err
	}
	if err := t.writeHeader(false); err != nil {
		return err
	}
	return t.file.Sync()
}

// recover ends a file properly whose last writer did not.
func (t *stream) recover() error {
	if t.fresh {
		if err := t.forget(); err != nil {
			return err
		}
	} else {
		end, err := t.end()
		if err != nil {
			return err
		}
		t.next = end
	}
	t.streamed = true
	if err := t.finish(); err != nil {
		return fmt.Errorf("end the stream: %w", err)
	}
	t.unclean, t.fresh = false, false
	return nil
}
