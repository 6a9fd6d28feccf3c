package vmdk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/sharevm/vmm/disk"
)

// trace is what a walk through a stream without its end says about the directory.
type trace struct {
	*sparse
	dir   directory // as the tables' order tells it, each behind its grains
	clear bool      // that is beyond doubt so far
	mark  int64     // where the last directory's marker is, or 0
	end   int64     // behind the last whole record

	open   int64            // the table that the grains since the last one belong to, or -1
	grains map[int64]uint32 // these grains' records; the last of each
}

// retrace finds the directory of a stream that has lost its footer. It returns false if some of it remains in doubt: then the end that is missing
// had more than directory and footer.
func (s *sparse) retrace() (t *trace, ok bool, err error) {
	t = &trace{sparse: s, dir: make(directory, s.entries()), clear: true, open: -1, grains: map[int64]uint32{}}
	if err := t.walk(); err != nil {
		return nil, false, err
	}
	if t.mark == 0 {
		return nil, false, nil
	}
	if t.clear && t.open < 0 {
		return t, true, nil
	}
	// The file was written to again after its first end. A directory that is there is kept up to date.
	h := *s.header
	h.lost, h.gd = false, t.mark/sectorSize+1
	d, err := readDirectory(s.file, &h, h.gd, s.length, "grain directory")
	if err == nil {
		err = s.whole(&h, d)
	}
	if errors.Is(err, disk.ErrCorrupt) {
		return nil, false, nil
	}
	t.dir = d
	return t, err == nil, err
}

// whole checks that all tables of a directory make sense.
func (s *sparse) whole(h *header, d directory) error {
	meta, err := metadata(s.file.Name(), h, d)
	if err != nil {
		return err
	}
	probe := &sparse{header: h, file: s.file, size: s.size, shift: s.shift, tableShift: s.tableShift, length: s.length, meta: meta}
	scan, into := newScanner(s.file, s.length), make(grainTable, s.tableEntries)
	defer scan.release()
	for i, sector := range d {
		if sector == 0 {
			continue
		}
		if _, err := probe.parseTable(scan, into, sector, int64(i)); err != nil {
			return err
		}
	}
	return nil
}

// walk goes from record to record up to the end marker or the first thing that is no record.
func (t *trace) walk() error {
	t.end = max(t.overhead, t.descriptorOffset+t.descriptorSize, 1) * sectorSize
	for t.end < t.length {
		var p [16]byte
		if n, err := t.file.ReadAt(p[:], t.end); n < len(p) {
			if err == io.EOF {
				err = nil
			}
			return err
		}
		le := binary.LittleEndian
		number, size := le.Uint64(p[:]), int64(le.Uint32(p[8:]))
		if size > 0 {
			next := t.end + sectors(grainHeader+size)*sectorSize
			if number >= uint64(t.capacity) || number%uint64(t.grain) != 0 || size > t.maxPacked() || next > t.length {
				return nil
			}
			t.add(int64(number) / t.grain)
			t.end = next
			continue
		}
		kind, next := le.Uint32(p[12:]), t.end+(1+int64(min(number, 1<<40)))*sectorSize
		switch kind {
		case markTable:
			if next > t.length || int64(number) != t.sectorsPerTable() {
				return nil
			}
			if err := t.table(); err != nil {
				return err
			}
		case markGD:
			if int64(number) != sectors(t.entries()*4) {
				return nil
			}
			t.mark = t.end
			if next > t.length { // the directory itself is cut off
				return nil
			}
		default:
			return nil
		}
		t.end = next
	}
	return nil
}

// add takes in the grain at t.end.
func (t *trace) add(grain int64) {
	i := grain >> t.tableShift
	if t.open >= 0 && t.open != i {
		t.clear = false // grains whose table is elsewhere
	}
	if t.clear {
		t.open = i
		t.grains[grain] = uint32(t.end / sectorSize)
	}
}

// table takes in the table behind the marker at t.end.
func (t *trace) table() error {
	sector, i := uint32(t.end/sectorSize)+1, t.open
	if i < 0 || t.dir[i] != 0 {
		t.clear = false
	}
	if !t.clear {
		return nil
	}
	g := make(grainTable, t.tableEntries)
	raw := make([]byte, t.tableBytes())
	if err := disk.ReadFull(t.file, raw, int64(sector)*sectorSize, "grain table"); err != nil {
		return err
	}
	for k := range g {
		e := binary.LittleEndian.Uint32(raw[k*4:])
		if e != 0 && t.grains[i<<t.tableShift+int64(k)] != e {
			t.clear = false
		}
	}
	t.dir[i], t.open = sector, -1
	clear(t.grains)
	return nil
}

// rebuild gives a stream that has lost its end another one, and returns its header and length.
func rebuild(s *sparse) (*header, int64, error) {
	t, ok, err := s.retrace()
	if err != nil {
		return nil, 0, err
	}
	if !ok {
		return nil, 0, disk.Corrupt(s.file.Name(), s.length,
			"the file has lost more than its end: grains are missing, or what leads to them; open it read-only to save the %d grains that are left", len(s.found))
	}
	h := *s.header
	h.gd, h.lost, h.unclean = t.mark/sectorSize+1, false, false
	end := max(t.end, (h.gd+sectors(h.entries()*4))*sectorSize)
	for _, p := range []struct {
		at   int64
		data []byte
	}{{h.gd * sectorSize, padded(encode(t.dir))}, {end, h.tail()}} {
		if _, err := s.file.WriteAt(p.data, p.at); err != nil {
			return nil, 0, fmt.Errorf("write the end anew: %w", err)
		}
		if err := s.file.Sync(); err != nil {
			return nil, 0, err
		}
	}
	size := end + footerBytes
	if err := s.file.Truncate(size); err != nil {
		return nil, 0, err
	}
	if _, err := s.file.WriteAt([]byte{0}, uncleanAt); err != nil {
		return nil, 0, err
	}
	if err := s.file.Sync(); err != nil {
		return nil, 0, err
	}
	done, err := readHeader(s.file, size)
	return done, size, err
}
