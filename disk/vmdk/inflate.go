package vmdk

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/inflate"
	"github.com/sharevm/vmm/disk/internal/inflated"
	"github.com/sharevm/vmm/disk/internal/mapped"
)

var (
	_ mapped.Unpacker = (*sparse)(nil)
	_ inflated.Source = (*sparse)(nil)
)

// maxPacked bounds the compressed size of a grain in bytes; deflate never makes data much longer.
func (s *sparse) maxPacked() int64 { return 2*s.grainBytes() + 4096 }

// newCache returns the cache of the extent's inflated grains.
func (s *sparse) newCache() *inflated.Cache {
	return inflated.New(s, s.shift, s.entries()*s.tableEntries)
}

// Unpack implements [mapped.Unpacker].
func (s *sparse) Unpack(p []byte, off int64) error { return s.inflated.Unpack(p, off) }

// UnpackBlock implements [inflated.Source].
func (s *sparse) UnpackBlock(p []byte, off int64) error {
	grain := off >> s.shift
	t, err := s.table(grain >> s.tableShift)
	if err != nil {
		return err
	}
	e := uint32(0)
	if t != nil {
		e = atomic.LoadUint32(&t[grain&(s.tableEntries-1)])
	}
	if e <= zeroGrain { // it was taken away meanwhile
		clear(p)
		return nil
	}
	// A grain that is written again is stored elsewhere.
	return s.inflated.Read(p, grain, uint64(grain)<<32|uint64(e), off-grain<<s.shift)
}

// inflater is what inflating takes, apart from the result.
type inflater struct {
	inflate.Decoder
	record []byte // as in the file
}

var inflaters = sync.Pool{New: func() any { return &inflater{} }}

// Inflate implements [inflated.Source].
func (s *sparse) Inflate(out []byte, grain int64, key uint64) error {
	f := inflaters.Get().(*inflater)
	defer inflaters.Put(f)
	at := int64(uint32(key)) * sectorSize
	packed, err := s.readPacked(f, grain, at)
	if err != nil {
		return err
	}
	n, err := f.DecodeZlib(out, packed)
	switch {
	case err == inflate.ErrLong:
		err = fmt.Errorf("it is longer than a grain")
	case err == nil && int64(n) < min(int64(len(out)), s.size-grain<<s.shift):
		err = fmt.Errorf("it is only %d bytes", n)
	}
	if err != nil {
		return disk.Corrupt(s.file.Name(), at+grainHeader, "the compressed data of grain %d is damaged: %v", grain, err)
	}
	clear(out[n:]) // beyond the disk's end
	return nil
}

// readPacked reads the compressed data of a grain whose record is at a place in the file. It is in f's buffer.
func (s *sparse) readPacked(f *inflater, grain, at int64) ([]byte, error) {
	// Few grains take more, and then a second read.
	first := grainHeader + s.grainBytes()
	if int64(cap(f.record)) < first {
		f.record = make([]byte, first)
	}
	n, err := s.file.ReadAt(f.record[:first], at)
	if err != nil && err != io.EOF {
		return nil, err
	}
	p := f.record[:n]
	if n < grainHeader {
		return nil, disk.Corrupt(s.file.Name(), at, "the file ends inside the record of grain %d", grain)
	}
	number, size := binary.LittleEndian.Uint64(p), int64(binary.LittleEndian.Uint32(p[8:]))
	switch {
	case number != uint64(grain*s.grain):
		return nil, disk.Corrupt(s.file.Name(), at, "the record of grain %d says that it is sector %d, not %d", grain, number, grain*s.grain)
	case size == 0 || size > s.maxPacked():
		return nil, disk.Corrupt(s.file.Name(), at+8, "compressed data of %d bytes is impossible here", size)
	}
	whole := grainHeader + size
	if whole > int64(n) {
		if int64(cap(f.record)) < whole {
			f.record = append(make([]byte, 0, whole), p...)
		}
		if err := disk.ReadFull(s.file, f.record[n:whole], at+int64(n), "grain"); err != nil {
			return nil, err
		}
	}
	return f.record[grainHeader:whole], nil
}
