package vmdk

import (
	"encoding/binary"
	"math/bits"
	"sync"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/mapped"
)

// The SEsparse format of ESXi 6.5 and later has no public specification; what is known of it comes from the records that ESXi logs of each disk.
// Everything is counted in sectors and lies at fixed places that the constant header names. Of the rest only the directory, the tables
// and the grains are needed to read it, unless the journal waits to be replayed.
const (
	seMagic         = "\xbe\xba\xfe\xca\x00\x00\x00\x00"
	seVolatileMagic = 0xcafecafe
	seVersion       = 2<<32 | 1
	seGrain         = 8  // sectors
	seTable         = 64 // sectors
	seEntries       = seTable * sectorSize / 8
	// seKept bounds the grain tables in memory, 32 KiB each.
	seKept = 512
)

// Kinds of grain table entry, its highest four bits.
const (
	seAbsent    = 0
	seUnmapped  = 1 // discarded by the guest
	seZeroes    = 2
	seAllocated = 3
)

// seSparse is the table of an SEsparse extent, for reading only.
type seSparse struct {
	file     disk.File
	fileSize int64
	capacity int64 // sectors
	tables   int64 // byte offset of the grain tables
	count    int64 // how many there are
	grains   int64 // byte offset of the grains
	room     int64 // how many of them
	gd       []uint64

	mu   sync.RWMutex
	kept map[int64][]uint64
}

var _ mapped.Table = (*seSparse)(nil)

// openSE reads the headers and the directory.
func openSE(file disk.File, fileSize int64) (*seSparse, error) {
	name := file.Name()
	var p [sectorSize]byte
	if err := disk.ReadFull(file, p[:], 0, "header"); err != nil {
		return nil, err
	}
	field := func(n int) uint64 { return binary.LittleEndian.Uint64(p[n*8:]) }
	for _, f := range []struct {
		n    int
		what string
		want uint64
	}{{1, "version", seVersion}, {3, "grain size", seGrain}, {4, "grain table size", seTable}, {5, "flags", 0}} {
		if field(f.n) != f.want {
			return nil, disk.Unsupported(name, int64(f.n*8), "SEsparse extent with %s %#x instead of %#x", f.what, field(f.n), f.want)
		}
	}
	// Offset and size of what is used. The grains' room may lie beyond the end of a file that has not grown into it.
	inFile := uint64(fileSize / sectorSize)
	for _, f := range []struct {
		n    int
		what string
		size uint64
	}{{10, "volatile header", inFile}, {16, "grain directory", inFile}, {18, "grain table area", inFile}, {24, "grain area", maxSectors}} {
		if at, size := field(f.n), field(f.n+1); at == 0 || at > inFile || size > f.size {
			return nil, disk.Corrupt(name, int64(f.n*8), "the %s (%d sectors at %d) is impossible in a file of %d sectors", f.what, size, at, inFile)
		}
	}
	if field(2) > maxSectors {
		return nil, disk.Corrupt(name, 16, "capacity of %d sectors is impossible", field(2))
	}
	s := &seSparse{
		file: file, fileSize: fileSize, capacity: int64(field(2)),
		tables: int64(field(18)) * sectorSize, count: int64(field(19)) / seTable,
		grains: int64(field(24)) * sectorSize, room: int64(field(25)) / seGrain,
		kept: map[int64][]uint64{},
	}
	if err := s.journal(int64(field(10)) * sectorSize); err != nil {
		return nil, err
	}
	return s, s.readDirectory(int64(field(16))*sectorSize, int64(field(17))*sectorSize)
}

// journal reads the volatile header, which says whether changes wait in the journal.
func (s *seSparse) journal(at int64) error {
	var p [32]byte
	if err := disk.ReadFull(s.file, p[:], at, "volatile header"); err != nil {
		return err
	}
	if m := binary.LittleEndian.Uint64(p[:]); m != seVolatileMagic {
		return disk.Corrupt(s.file.Name(), at, "no volatile header: it starts with %#x", m)
	}
	if binary.LittleEndian.Uint64(p[24:]) != 0 {
		return disk.Unsupported(s.file.Name(), at+24, "the journal has changes that only ESXi can replay; open and close the disk there first")
	}
	return nil
}

func (s *seSparse) readDirectory(at, size int64) error {
	const covers = seEntries * seGrain
	n := (s.capacity + covers - 1) / covers
	if n > maxDirectory || n*8 > size {
		return disk.Corrupt(s.file.Name(), 16, "a grain directory of %d bytes does not cover %d sectors", size, s.capacity)
	}
	raw := make([]byte, n*8)
	if err := disk.ReadFull(s.file, raw, at, "grain directory"); err != nil {
		return err
	}
	s.gd = make([]uint64, n)
	for i := range s.gd {
		e := binary.LittleEndian.Uint64(raw[i*8:])
		s.gd[i] = e
		if e != 0 && (e>>32 != 1<<28 || int64(e&0xffffffff) >= s.count) {
			return disk.Corrupt(s.file.Name(), at+int64(i)*8, "grain directory entry %#x is impossible (%d tables)", e, s.count)
		}
	}
	return nil
}

// table returns grain table i, or nil if there is none.
func (s *seSparse) table(i int64) ([]uint64, error) {
	if s.gd[i] == 0 {
		return nil, nil
	}
	s.mu.RLock()
	t := s.kept[i]
	s.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	at := s.tables + int64(s.gd[i]&0xffffffff)*seTable*sectorSize
	raw := make([]byte, seTable*sectorSize)
	if err := disk.ReadFull(s.file, raw, at, "grain table"); err != nil {
		return nil, err
	}
	t = make([]uint64, seEntries)
	for k := range t {
		t[k] = binary.LittleEndian.Uint64(raw[k*8:])
		if grain := i*seEntries + int64(k); grain*seGrain < s.capacity {
			if err := s.checkEntry(t[k], grain, at+int64(k)*8); err != nil {
				return nil, err
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) >= seKept {
		clear(s.kept)
	}
	s.kept[i] = t
	return t, nil
}

// checkEntry checks the table entry e of a grain, which lies at a place in the file.
func (s *seSparse) checkEntry(e uint64, grain, at int64) error {
	switch e >> 60 {
	case seAbsent, seUnmapped, seZeroes:
		return nil
	case seAllocated:
		host := s.host(e)
		if place(e) < s.room && host+min(seGrain, s.capacity-grain*seGrain)*sectorSize <= s.fileSize {
			return nil
		}
	}
	return disk.Corrupt(s.file.Name(), at, "grain table entry %#x is impossible (room for %d grains in a file of %d bytes)", e, s.room, s.fileSize)
}

// place is the number of the grain in the grain area that an entry means: its bits 48 to 59 are the low ones.
func place(e uint64) int64 { return int64(e>>48&0xfff | bits.RotateLeft64(e&(1<<48-1), 12)) }

func (s *seSparse) host(e uint64) int64 { return s.grains + place(e)*seGrain*sectorSize }

// Find implements [mapped.Table].
func (s *seSparse) Find(off, length int64) (host, n int64, err error) {
	const grainBytes = seGrain * sectorSize
	host, whole, err := s.grainAt(off / grainBytes)
	if err != nil {
		return 0, 0, err
	}
	in := off % grainBytes
	n = whole - in
	if host >= 0 {
		host += in
	}
	for n < length {
		h, whole, err := s.grainAt((off + n) / grainBytes)
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

// grainAt returns a grain's place in the file and for how many bytes from its start the answer holds.
func (s *seSparse) grainAt(grain int64) (host, whole int64, err error) {
	i := grain / seEntries
	t, err := s.table(i)
	if err != nil {
		return 0, 0, err
	}
	if t == nil {
		return mapped.Hole, ((i+1)*seEntries - grain) * seGrain * sectorSize, nil
	}
	switch e := t[grain%seEntries]; e >> 60 {
	case seAbsent:
		return mapped.Hole, seGrain * sectorSize, nil
	case seAllocated:
		return s.host(e), seGrain * sectorSize, nil
	}
	return mapped.Zero, seGrain * sectorSize, nil
}

// Allocate implements [mapped.Table].
func (s *seSparse) Allocate(int64, int64) (int64, int64, error) { return 0, 0, disk.ErrReadOnly }

// Collect implements [mapped.Table]: nothing ever changes.
func (s *seSparse) Collect() []mapped.Stage { return []mapped.Stage{nil} }

// Restore implements [mapped.Table].
func (s *seSparse) Restore([]mapped.Stage) {}
