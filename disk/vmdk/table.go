package vmdk

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/inflated"
	"github.com/sharevm/vmm/disk/internal/mapped"
)

const (
	// zeroGrain is the grain table entry of a grain that is all zeroes, if the header's flag says so.
	zeroGrain = 1
	// growStep is by how much a growing file is extended, so that few syncs have to store a new length. It is cut off again at Close.
	growStep = 16 << 20
	// maxTables bounds the grain tables of a disk that are kept in memory, in bytes; they serve 128 GiB in ordinary grains.
	maxTables = 8 << 20
	// entriesPerSector is how many grain table entries are written at a time.
	entriesPerSector = sectorSize / 4
)

// grainTable holds the sectors of consecutive grains, or 0 or zeroGrain. Entries are read and written atomically, written under sparse.mu.
type grainTable []uint32

// sparse is the table of a hosted sparse extent. Directories are in memory, grain tables are read when they are first needed.
type sparse struct {
	*header
	file  disk.File
	log   *slog.Logger
	size  int64 // bytes of the disk
	shift uint  // of a grain in bytes
	// tableShift is the shift of a table in grains.
	tableShift uint
	meta       regions
	limit      int64 // the file's length at Open; grains that it held then end here or before

	// damaged says what is wrong with the one of two directories that is not used, at sector spare, if so.
	damaged error
	spare   int64

	tables []atomic.Pointer[grainTable]

	// arranged says that an arena has moved grains, and may leave gaps.
	arranged bool

	found    []found         // the grains of a stream that has lost its directory
	inflated *inflated.Cache // of a compressed extent that is read or written

	// unsaved says that so many tables wait to be published that they fill the memory for tables.
	unsaved atomic.Bool

	mu      sync.Mutex
	loaded  int
	budget  int // how many tables may be in memory
	evictAt int // evict is worth another try from this many tables on
	gd      directory
	rgd     directory
	next    int64          // file offset of the next new grain
	length  int64          // of the file
	free    []int64        // file offsets of grains' room that nothing refers to; it holds any bytes
	dirty   map[int64]bool // sectors of tables to be written, by table*sectorsPerTable+sector
	born    map[int64]bool // tables that the directories in the file lack
	taken   struct{ dirty, born map[int64]bool }
}

// openSparse reads the directories of the extent in file.
func openSparse(file disk.File, h *header, fileSize int64, log *slog.Logger) (*sparse, error) {
	s := &sparse{
		header: h, file: file, log: log, limit: fileSize, length: fileSize,
		size:       h.capacity * sectorSize,
		shift:      uint(bits.TrailingZeros64(uint64(h.grain * sectorSize))),
		tableShift: uint(bits.TrailingZeros64(uint64(h.tableEntries))),
		tables:     make([]atomic.Pointer[grainTable], h.entries()),
		dirty:      map[int64]bool{}, born: map[int64]bool{},
	}
	s.next = s.alignUp(fileSize)
	s.share(1)
	read := s.readDirectories
	switch {
	case h.lost:
		read = s.findLost
	case h.fresh:
		read = s.noDirectory
	}
	if err := read(); err != nil {
		return nil, err
	}
	var err error
	if s.meta, err = metadata(file.Name(), h, s.gd, s.rgd); err != nil {
		return nil, err
	}
	return s, nil
}

// readDirectories reads both directories. One of two may be damaged: it is then neither used nor written.
func (s *sparse) readDirectories() (err error) {
	s.gd, err = readDirectory(s.file, s.header, s.header.gd, s.length, "grain directory")
	if !s.redundant() {
		return err
	}
	copied, copyErr := readDirectory(s.file, s.header, s.redundantGD, s.length, "redundant grain directory")
	switch {
	case err != nil && copyErr != nil:
		return err
	case err == nil && copyErr == nil:
		s.rgd = copied
		return nil
	case err != nil:
		s.damaged, s.spare = err, s.header.gd
		s.gd, s.header.gd = copied, s.redundantGD
	case copyErr != nil:
		s.damaged, s.spare = copyErr, s.redundantGD
	}
	s.redundantGD = 0
	s.log.Warn("one of two grain directories is damaged; using the other", "file", s.file.Name(), "error", s.damaged)
	return nil
}

// noDirectory stands in for the directory of a stream that has none yet.
func (s *sparse) noDirectory() error {
	s.gd = make(directory, s.entries())
	return nil
}

func (s *sparse) grainBytes() int64 { return 1 << s.shift }

func (s *sparse) alignUp(n int64) int64 { return (n + s.grainBytes() - 1) &^ (s.grainBytes() - 1) }

func (s *sparse) sectorsPerTable() int64 { return (s.tableBytes() + sectorSize - 1) / sectorSize }

// inDisk is how many of table i's entries are of grains that the disk has.
func (s *sparse) inDisk(i int64) int64 {
	return min(s.tableEntries, (s.size+s.grainBytes()-1)>>s.shift-i*s.tableEntries)
}

// table returns grain table i, reading it if need be, or nil if the extent has none there.
func (s *sparse) table(i int64) (grainTable, error) {
	if t := s.tables[i].Load(); t != nil {
		return *t, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load(i)
}

// load is table with mu held.
func (s *sparse) load(i int64) (grainTable, error) {
	if t := s.tables[i].Load(); t != nil {
		return *t, nil
	}
	if s.found != nil {
		t := s.foundTable(i)
		if t != nil {
			s.keep(i, t)
		}
		return t, nil
	}
	first, second := s.gd[i], uint32(0)
	if s.rgd != nil {
		second = s.rgd[i]
	}
	if first == 0 {
		first, second = second, 0
	}
	if first == 0 {
		return nil, nil
	}
	t, err := s.readTable(first, i)
	if err != nil && second != 0 {
		if copied, rerr := s.readTable(second, i); rerr == nil {
			s.log.Warn("a grain table is damaged; using its copy", "file", s.file.Name(), "error", err)
			t, err = copied, nil
		}
	}
	if err != nil {
		return nil, err
	}
	s.keep(i, t)
	return t, nil
}

// share has the extent keep its part of the tables in memory, as one of so many of the disk.
func (s *sparse) share(extents int) {
	s.budget = max(int(maxTables/s.tableBytes())/extents, 2)
}

// keep remembers a table, dropping others when there are too many. Called with mu held.
func (s *sparse) keep(i int64, t grainTable) {
	if s.loaded >= max(s.budget, s.evictAt) {
		s.evict()
		s.evictAt = s.loaded + s.budget/4
		s.unsaved.Store(s.loaded >= s.budget/2)
	}
	if s.tables[i].Swap(&t) == nil {
		s.loaded++
	}
}

// evict forgets all tables that the file holds as they are. Readers that still use one see what was true when they started.
func (s *sparse) evict() {
	unsaved := map[int64]bool{}
	for _, dirty := range []map[int64]bool{s.dirty, s.taken.dirty} {
		for sector := range dirty {
			unsaved[sector/s.sectorsPerTable()] = true
		}
	}
	for i := range s.tables {
		if !unsaved[int64(i)] && s.tables[i].Load() != nil {
			s.tables[i].Store(nil)
			s.loaded--
		}
	}
}

// readTable reads the table at a sector, which serves as table i, and checks its entries.
func (s *sparse) readTable(sector uint32, i int64) (grainTable, error) {
	raw := make([]byte, s.tableBytes())
	if err := disk.ReadFull(s.file, raw, int64(sector)*sectorSize, "grain table"); err != nil {
		return nil, err
	}
	t := make(grainTable, s.tableEntries)
	return t, s.decode(t, raw, sector, i)
}

// parseTable is readTable by a scanner and into t, which it returns, or nil if the table is empty.
func (s *sparse) parseTable(scan *scanner, t grainTable, sector uint32, i int64) (grainTable, error) {
	raw, err := scan.read(int64(sector)*sectorSize, s.tableBytes(), "grain table")
	if raw == nil || err != nil {
		return nil, err
	}
	return t, s.decode(t, raw, sector, i)
}

// decode fills t from raw, which was at a sector and serves as table i.
func (s *sparse) decode(t grainTable, raw []byte, sector uint32, i int64) error {
	// Nearly all grains lie behind all tables and well before the end, which is seen at a glance.
	low, high := s.meta[len(s.meta)-1].end/sectorSize, (s.length-s.grainBytes())/sectorSize
	for k := range t {
		e := binary.LittleEndian.Uint32(raw[k*4:])
		t[k] = e
		if e == 0 || int64(e) >= low && int64(e) <= high {
			continue
		}
		if reason := s.misplaced(e, i*s.tableEntries+int64(k)); reason != "" {
			return disk.Corrupt(s.file.Name(), int64(sector)*sectorSize+int64(k)*4, "%s", reason)
		}
		if at := int64(e) * sectorSize; e > zeroGrain && at < s.length && !s.compressed { // the next one is most likely near, between the same tables
			start, end := s.meta.around(at)
			low, high = start/sectorSize, (min(end, s.length)-s.grainBytes())/sectorSize
		}
	}
	return nil
}

// misplaced says what is wrong with the table entry e of a grain, or returns "".
func (s *sparse) misplaced(e uint32, grain int64) string {
	if e == 0 || e == zeroGrain && s.flags&flagZeroGrain != 0 || grain<<s.shift >= s.size {
		return ""
	}
	start := int64(e) * sectorSize
	end := start + min(s.grainBytes(), s.size-grain<<s.shift)
	if s.compressed {
		end = start + grainHeader // and more, as the record says
	}
	switch {
	case end > s.length:
		return fmt.Sprintf("grain %d lies at bytes %d to %d, beyond the end of the file (%d)", grain, start, end, s.length)
	case s.meta.overlap(start, end):
		return fmt.Sprintf("grain %d at byte %d overlaps the file's tables", grain, start)
	}
	return ""
}

// Find implements [mapped.Table].
func (s *sparse) Find(off, length int64) (host, n int64, err error) {
	grain, in := off>>s.shift, off&(s.grainBytes()-1)
	host, whole, err := s.grainAt(grain)
	if err != nil {
		return 0, 0, err
	}
	n = whole - in
	if host >= 0 {
		host += in
	}
	for n < length {
		next := (off + n) >> s.shift
		h, whole, err := s.grainAt(next)
		if err != nil {
			break // reported when the transfer comes to it
		}
		if host >= 0 && h != host+n || host < 0 && h != host {
			break
		}
		n += whole
	}
	return host, min(n, length), nil
}

// grainAt returns a grain's place in the file and for how many bytes from the grain's start the answer is known to hold,
// which is more than a grain where there is no table.
func (s *sparse) grainAt(grain int64) (host, whole int64, err error) {
	i := grain >> s.tableShift
	var t grainTable
	if p := s.tables[i].Load(); p != nil {
		t = *p
	} else if t, err = s.table(i); err != nil {
		return 0, 0, err
	}
	if t == nil {
		return mapped.Hole, ((i+1)<<s.tableShift - grain) << s.shift, nil
	}
	switch e := atomic.LoadUint32(&t[grain&(s.tableEntries-1)]); {
	case e == 0:
		return mapped.Hole, s.grainBytes(), nil
	case e == zeroGrain: // the flag was checked when the table was read
		return mapped.Zero, s.grainBytes(), nil
	case s.compressed:
		return mapped.Packed, s.grainBytes(), nil
	default:
		return int64(e) * sectorSize, s.grainBytes(), nil
	}
}
