package vmdk

import (
	"bytes"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zlib"

	"github.com/sharevm/vmm/disk/internal/mapped"
	"github.com/sharevm/vmm/disk/internal/parallel"
	"github.com/sharevm/vmm/disk/internal/vec"
)

const (
	// deflateLevel takes 5 % more space than level 6 for ordinary data, and two thirds of the time.
	deflateLevel = 3
	// appendBatch is how many bytes of the disk are compressed together, by all processors.
	appendBatch = 4 << 20
)

// streamSpace is a streamOptimized extent in use. One write runs at a time, but on all processors; its grains go to the file in the order of the disk.
type streamSpace struct {
	*mapped.Store
	table  *stream
	parent bool // there is something below

	mu sync.Mutex
}

// packing is a grain on its way to the file.
type packing struct {
	grain int64
	data  []byte // all of it, by reference where the caller's buffer has it
	own   []byte // room for data where it must be put together
	out   bytes.Buffer
	zero  bool
}

// WriteAt stores p at off.
func (s *streamSpace) WriteAt(p []byte, off int64) (int, error) {
	return s.WritevAt([][]byte{p}, off)
}

// WritevAt stores bufs at off.
func (s *streamSpace) WritevAt(bufs [][]byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := vec.Len(bufs)
	for done := int64(0); done < total; {
		n := min(total-done, appendBatch-(off+done)%appendBatch)
		if err := s.store(bufs, done, n, off+done); err != nil {
			return int(done), err
		}
		done += n
	}
	return int(total), nil
}

// noData is what WriteZeroes writes.
var noData [1 << 20]byte

// WriteZeroes makes [off, off+length) read as zeroes.
func (s *streamSpace) WriteZeroes(off, length int64, _ bool) error {
	for length > 0 {
		host, n, err := s.table.Find(off, length)
		if err != nil {
			return err
		}
		if host == mapped.Packed || host == mapped.Hole && s.parent {
			n = min(n, int64(len(noData))-off%int64(len(noData)))
			if _, err := s.WriteAt(noData[:n], off); err != nil {
				return err
			}
		}
		off, length = off+n, length-n
	}
	return nil
}

// store compresses and appends the grains that [off, off+n) touches; its content is from byte skip of bufs on. Called with mu held.
func (s *streamSpace) store(bufs [][]byte, skip, n, off int64) error {
	t := s.table
	first, last := off>>t.shift, (off+n-1)>>t.shift
	batch := packings.Get().(*[]packing)
	defer packings.Put(batch)
	for int64(len(*batch)) < last-first+1 {
		*batch = append(*batch, packing{})
	}
	grains := (*batch)[:last-first+1]
	err := parallel.Do(len(grains), func(k int) error {
		g := &grains[k]
		g.grain = first + int64(k)
		start := g.grain << t.shift
		from, to := max(off, start), min(off+n, start+t.grainBytes())
		if err := s.gather(g, bufs, skip+from-off, from, to); err != nil {
			return err
		}
		return s.pack(g)
	})
	defer func() {
		for k := range grains {
			grains[k].data = nil // the caller's
		}
	}()
	if err != nil {
		return err
	}
	return s.append(grains)
}

var packings = sync.Pool{New: func() any { return new([]packing) }}

// gather sets g.data: bytes [from, to) of the disk from byte skip of bufs on, the rest of the grain as it was.
func (s *streamSpace) gather(g *packing, bufs [][]byte, skip, from, to int64) error {
	t := s.table
	w := vec.Get()
	defer w.Put()
	parts := w.Slice(bufs, skip, to-from)
	whole := t.grainBytes()
	if len(parts) == 1 && to-from == whole {
		g.data = parts[0]
		return nil
	}
	if int64(len(g.own)) != whole {
		g.own = make([]byte, whole)
	}
	g.data = g.own
	start := g.grain << t.shift
	inDisk := min(whole, t.size-start)
	clear(g.data[inDisk:])
	if to-from < inDisk {
		if _, err := s.Store.ReadAt(g.data[:inDisk], start); err != nil {
			return err
		}
	}
	at := from - start
	for _, p := range parts {
		at += int64(copy(g.data[at:], p))
	}
	return nil
}

var deflaters = sync.Pool{New: func() any {
	w, err := zlib.NewWriterLevel(nil, deflateLevel)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

// pack compresses a grain into a record. One of zeroes needs none where absent grains read as zeroes.
func (s *streamSpace) pack(g *packing) error {
	g.zero = !s.parent && isZero(g.data)
	g.out.Reset()
	if g.zero {
		return nil
	}
	var head [grainHeader]byte
	g.out.Write(head[:])
	w := deflaters.Get().(*zlib.Writer)
	defer deflaters.Put(w)
	w.Reset(&g.out)
	if _, err := w.Write(g.data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	p := g.out.Bytes()
	binary.LittleEndian.PutUint64(p, uint64(g.grain*s.table.grain))
	binary.LittleEndian.PutUint32(p[8:], uint32(len(p)-grainHeader))
	g.out.Write(noData[:sectors(int64(len(p)))*sectorSize-int64(len(p))])
	return nil
}

func isZero(p []byte) bool {
	for len(p) > 0 {
		n := min(len(p), len(noData))
		if !bytes.Equal(p[:n], noData[:n]) {
			return false
		}
		p = p[n:]
	}
	return true
}

// append writes packed grains to the end of the file, those of each table together, and enters them in the tables.
func (s *streamSpace) append(grains []packing) error {
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(grains) > 0 {
		i, n := grains[0].grain>>t.tableShift, 1
		for n < len(grains) && grains[n].grain>>t.tableShift == i {
			n++
		}
		if err := s.appendTo(i, grains[:n]); err != nil {
			return err
		}
		grains = grains[n:]
	}
	return nil
}

// appendTo appends grains of table i.
func (s *streamSpace) appendTo(i int64, grains []packing) error {
	t := s.table
	absent, err := t.load(i)
	if err != nil {
		return err
	}
	if absent == nil && allZero(grains) {
		return nil
	}
	if t.open != i {
		if err := t.closeTable(); err != nil {
			return err
		}
	}
	table, err := t.grainTableFor(i)
	if err != nil {
		return err
	}
	t.open = i
	var bufs [][]byte
	size := int64(0)
	for k := range grains {
		if !grains[k].zero {
			bufs = append(bufs, grains[k].out.Bytes())
			size += int64(grains[k].out.Len())
		}
	}
	if err := t.roomFor(size); err != nil {
		return err
	}
	if _, err := t.file.WritevAt(bufs, t.next); err != nil {
		return err
	}
	s.enter(table, grains)
	return nil
}

// enter points table at grains that were written from next on.
func (s *streamSpace) enter(table grainTable, grains []packing) {
	t := s.table
	for k := range grains {
		g, e := &grains[k], uint32(0)
		if !g.zero {
			e = uint32(t.next / sectorSize)
			t.advance(int64(g.out.Len()))
		}
		at := g.grain & (t.tableEntries - 1)
		if table[at] == e {
			continue
		}
		t.dirty[(g.grain>>t.tableShift)*t.sectorsPerTable()+at/entriesPerSector] = true
		atomic.StoreUint32(&table[at], e)
		s.Wrote()
	}
}

func allZero(grains []packing) bool {
	for k := range grains {
		if !grains[k].zero {
			return false
		}
	}
	return true
}

// begin implements [writable].
func (s *streamSpace) begin() error {
	s.Wrote()
	return s.table.begin()
}

// end implements [writable].
func (s *streamSpace) end() error { return s.table.finish() }

// recover implements [writable].
func (s *streamSpace) recover() error {
	if !s.table.unclean {
		return nil
	}
	return s.table.recover()
}

func (s *streamSpace) name() string { return s.table.file.Name() }
