package vmdk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zlib"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/mapped"
)

var _ mapped.Unpacker = (*sparse)(nil)

// maxPacked bounds the compressed size of a grain in bytes; deflate never makes data much longer.
func (s *sparse) maxPacked() int64 { return 2*s.grainBytes() + 4096 }

// Unpack implements [mapped.Unpacker]. What covers several grains is inflated by all processors.
func (s *sparse) Unpack(p []byte, off int64) error {
	first := off >> s.shift
	grains := (off+int64(len(p))-1)>>s.shift - first + 1
	if grains <= 1 {
		return s.unpackGrain(first, p, off)
	}
	return parallel(int(grains), func(n int) error {
		grain := first + int64(n)
		from, to := max(off, grain<<s.shift), min(off+int64(len(p)), (grain+1)<<s.shift)
		return s.unpackGrain(grain, p[from-off:to-off], from)
	})
}

// parallel runs fn for 0 to n-1, as many at a time as there are processors, and returns the first error.
func parallel(n int, fn func(int) error) error {
	var (
		next  atomic.Int64
		wg    sync.WaitGroup
		once  sync.Once
		first error
	)
	work := func() {
		for k := next.Add(1) - 1; k < int64(n); k = next.Add(1) - 1 {
			if err := fn(int(k)); err != nil {
				once.Do(func() { first = err })
				return
			}
		}
	}
	for range min(n, runtime.GOMAXPROCS(0)) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return first
}

// unpackGrain fills p from off, all of it in one grain.
func (s *sparse) unpackGrain(grain int64, p []byte, off int64) error {
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
	in := off - grain<<s.shift
	if int64(len(p)) == s.grainBytes() {
		return s.inflate(grain, e, p)
	}
	if s.inflated.get(e, p, in) {
		return nil
	}
	buf := s.inflated.buffer(int(s.grainBytes()))
	if err := s.inflate(grain, e, buf); err != nil {
		return err
	}
	copy(p, buf[in:])
	s.inflated.put(e, buf)
	return nil
}

// inflater is what inflating takes, apart from the result.
type inflater struct {
	packed []byte
	in     bytes.Reader
	r      io.ReadCloser
}

var inflaters = sync.Pool{New: func() any { return &inflater{} }}

// inflate fills out with the grain stored at sector e.
func (s *sparse) inflate(grain int64, e uint32, out []byte) error {
	f := inflaters.Get().(*inflater)
	defer inflaters.Put(f)
	at := int64(e) * sectorSize
	if err := s.readPacked(f, grain, at); err != nil {
		return err
	}
	bad := func(err error) error {
		return disk.Corrupt(s.file.Name(), at+grainHeader, "the compressed data of grain %d is damaged: %v", grain, err)
	}
	f.in.Reset(f.packed)
	var err error
	if f.r == nil {
		f.r, err = zlib.NewReader(&f.in)
	} else {
		err = f.r.(zlib.Resetter).Reset(&f.in, nil)
	}
	if err != nil {
		return bad(err)
	}
	n, err := io.ReadFull(f.r, out)
	switch {
	case err == nil:
		var more [1]byte // reading on to the end checks the sum
		if n, err := f.r.Read(more[:]); n > 0 {
			return bad(fmt.Errorf("it is longer than a grain"))
		} else if err != io.EOF {
			return bad(err)
		}
	case (err == io.ErrUnexpectedEOF || err == io.EOF) && int64(n) >= s.size-grain<<s.shift:
		clear(out[n:]) // beyond the disk's end
	default:
		return bad(err)
	}
	return nil
}

// readPacked reads the compressed data of a grain whose record is at a place in the file.
func (s *sparse) readPacked(f *inflater, grain, at int64) error {
	// Most grains shrink to less than half; others take a second read.
	first := grainHeader + s.grainBytes()/2
	if int64(cap(f.packed)) < first {
		f.packed = make([]byte, first, s.grainBytes()+4096)
	}
	n, err := s.file.ReadAt(f.packed[:first], at)
	if err != nil && err != io.EOF {
		return err
	}
	if f.packed, first = f.packed[:n], int64(n); n < grainHeader {
		return disk.Corrupt(s.file.Name(), at, "the file ends inside the record of grain %d", grain)
	}
	number, size := binary.LittleEndian.Uint64(f.packed), int64(binary.LittleEndian.Uint32(f.packed[8:]))
	switch {
	case number != uint64(grain*s.grain):
		return disk.Corrupt(s.file.Name(), at, "the record of grain %d says that it is sector %d, not %d", grain, number, grain*s.grain)
	case size == 0 || size > s.maxPacked():
		return disk.Corrupt(s.file.Name(), at+8, "compressed data of %d bytes is impossible here", size)
	}
	whole := grainHeader + size
	if whole > first {
		if int64(cap(f.packed)) < whole {
			f.packed = append(make([]byte, 0, whole), f.packed...)
		}
		f.packed = f.packed[:whole]
		if err := disk.ReadFull(s.file, f.packed[first:], at+first, "grain"); err != nil {
			return err
		}
	}
	f.packed = f.packed[:whole]
	// The header goes to the front, so that the buffer keeps its start.
	copy(f.packed, f.packed[grainHeader:])
	f.packed = f.packed[:size]
	return nil
}
