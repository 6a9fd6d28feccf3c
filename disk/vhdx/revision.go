package vhdx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/sharevm/vmm/disk"
)

// revision is a set of changes to a file's tables that come true together, by one entry of its log.
type revision struct {
	file  disk.File
	pages map[int64][]byte // those that change, by offset
}

func newRevision(file disk.File) *revision { return &revision{file, map[int64][]byte{}} }

// write has p stand at off. What stands there already is no change.
func (v *revision) write(p []byte, off int64) error {
	for len(p) > 0 {
		at := off &^ (pageSize - 1)
		old := v.pages[at]
		if old == nil {
			old = make([]byte, pageSize)
			if err := disk.ReadFull(v.file, old, at, "metadata"); err != nil {
				return err
			}
		}
		n := min(int64(len(p)), at+pageSize-off)
		if !bytes.Equal(old[off-at:][:n], p[:n]) {
			copy(old[off-at:], p[:n])
			v.pages[at] = old
		}
		p, off = p[n:], off+n
	}
	return nil
}

// view is the file of size bytes as the revision leaves it.
func (v *revision) view(size int64) disk.File {
	var changes []change
	for at, p := range v.pages {
		changes = append(changes, change{off: at, length: pageSize, data: p})
	}
	return replay(v.file, changes, size)
}

// setRegion has region id, which the sound one of the two region tables of r lists, lie at g. Both tables become the same.
func (v *revision) setRegion(r *regions, id guid, g region) error {
	p, err := v.regionTable(r)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	for k := range min(le.Uint32(p[8:]), maxRegions) {
		if e := p[16+32*k:]; guid(e[:16]) == id {
			le.PutUint64(e[16:], uint64(g.start))
			le.PutUint32(e[24:], uint32(g.end-g.start))
		}
	}
	seal(p)
	return v.writeRegionTables(p)
}

// mendRegions makes both region tables like the sound one.
func (v *revision) mendRegions(r *regions) error {
	p, err := v.regionTable(r)
	if err != nil {
		return err
	}
	return v.writeRegionTables(p)
}

func (v *revision) regionTable(r *regions) ([]byte, error) {
	p := make([]byte, regionTableSize)
	return p, disk.ReadFull(v.file, p, regionAt[r.copy], "region table")
}

func (v *revision) writeRegionTables(p []byte) error {
	for _, at := range regionAt {
		if err := v.write(p, at); err != nil {
			return err
		}
	}
	return nil
}

// setItem has metadata item id, in region r, hold data, or removes it if data is nil.
func (v *revision) setItem(r region, id guid, data []byte) error {
	le, table := binary.LittleEndian, make([]byte, metadataTableSize)
	if err := disk.ReadFull(v.view(r.end), table, r.start, "metadata table"); err != nil {
		return err
	}
	items, count := table[32:], int(le.Uint16(table[10:]))
	if count > maxItems {
		return disk.Corrupt(v.file.Name(), r.start+10, "a metadata table of %d entries (at most %d)", count, maxItems)
	}
	entry := func(k int) []byte { return items[32*k : 32*k+32] }
	found := -1
	for k := range count {
		if e := entry(k); guid(e[:16]) == id && le.Uint32(e[24:])&itemUser == 0 {
			found = k
		}
	}
	if found >= 0 && data != nil && int(le.Uint32(entry(found)[20:])) == len(data) {
		return v.write(data, r.start+int64(le.Uint32(entry(found)[16:])))
	}
	if found >= 0 {
		count--
		copy(entry(found), entry(count))
		clear(entry(count))
	}
	if data != nil {
		at, ok := roomForItem(items[:32*count], int64(len(data)), r.end-r.start)
		if !ok || count == maxItems {
			return disk.Unsupported(v.file.Name(), r.start, "the metadata has no room for an item of %d bytes", len(data))
		}
		e := entry(count)
		copy(e, id[:])
		le.PutUint32(e[16:], uint32(at))
		le.PutUint32(e[20:], uint32(len(data)))
		le.PutUint32(e[24:], itemRequired)
		count++
		if err := v.write(data, r.start+at); err != nil {
			return err
		}
	}
	le.PutUint16(table[10:], uint16(count))
	return v.write(table, r.start)
}

// roomForItem finds length bytes behind the table of a metadata region of size bytes that none of the items in entries takes.
func roomForItem(entries []byte, length, size int64) (at int64, ok bool) {
	le, taken := binary.LittleEndian, []span{}
	for ; len(entries) > 0; entries = entries[32:] {
		start := int64(le.Uint32(entries[16:]))
		taken = append(taken, span{start, start + int64(le.Uint32(entries[20:]))})
	}
	slices.SortFunc(taken, func(a, b span) int { return int(a.start - b.start) })
	at = metadataTableSize
	for _, s := range taken {
		if s.start < s.end && s.start < at+length {
			at = max(at, (s.end+7)&^7)
		}
	}
	return at, at+length <= size
}

// capacity is how many pages a revision can have.
func (s *session) capacity() int {
	w := newLogWriter(&s.headers.header)
	return w.capacity()
}

// commit makes a revision come true in a file of fileSize bytes, which are durable. The log stays in use. A failure half way leaves the session
// without any further writes, because nobody knows which of the two states the file has.
func (s *session) commit(v *revision, fileSize int64) error {
	if len(v.pages) > s.capacity() {
		return disk.Unsupported(s.file.Name(), s.headers.logOffset, "a change of %d pages at once is too large for the log", len(v.pages))
	}
	if err := s.openLog(fileSize); err != nil {
		return err
	}
	var pages []page
	for _, at := range slices.Sorted(maps.Keys(v.pages)) {
		pages = append(pages, page{at, v.pages[at]})
	}
	err := s.logPages(pages, fileSize)
	for _, p := range pages {
		if err == nil {
			_, err = s.file.WriteAt(p.data, p.off)
		}
	}
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		err = fmt.Errorf("%s: change its tables: %w", s.file.Name(), err)
		s.file.fail(err)
	}
	return err
}
