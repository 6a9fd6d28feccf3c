package vmdk

import (
	"sync"

	"github.com/sharevm/vmm/disk"
)

// scanWindow is how much of the file a scanner reads at a time.
const scanWindow = 256 << 10

// scanner reads a file's tables in passing: neighbouring ones together, and none where the file has a hole, so that the tables of a
// large empty disk cost nothing.
type scanner struct {
	file       disk.File
	size       int64
	buf        *[scanWindow]byte
	start, end int64  // what buf holds
	asked      int64  // where data was looked for
	data       region // the first stored bytes from there on
}

// windows are what scanners read into: a disk may have thousands of extents, each of which is scanned when it is opened.
var windows = sync.Pool{New: func() any { return new([scanWindow]byte) }}

// release gives the memory back.
func (s *scanner) release() {
	if s.buf != nil {
		windows.Put(s.buf)
		s.buf, s.start, s.end = nil, 0, 0
	}
}

func newScanner(file disk.File, size int64) *scanner {
	return &scanner{file: file, size: size}
}

// read returns n bytes at off, valid until the next call, or nil if they are a hole.
func (s *scanner) read(off, n int64, what string) ([]byte, error) {
	if off < s.start || off+n > s.end {
		hole, err := s.hole(off, n)
		if hole || err != nil {
			return nil, err
		}
		if s.buf == nil {
			s.buf = windows.Get().(*[scanWindow]byte)
		}
		length := max(min(scanWindow, s.size-off), n)
		if err := disk.ReadFull(s.file, s.buf[:length], off, what); err != nil {
			s.start, s.end = 0, 0
			return nil, err
		}
		s.start, s.end = off, off+length
	}
	return s.buf[off-s.start:][:n], nil
}

// hole says whether the file stores nothing in [off, off+n). The last answer of the file serves as long as off lies in it.
func (s *scanner) hole(off, n int64) (bool, error) {
	if off < s.asked || off >= s.data.end {
		start, end, err := s.file.NextData(off)
		if err != nil {
			return false, err
		}
		s.asked, s.data = off, region{start, end}
	}
	return off+n <= s.data.start && off+n <= s.size, nil
}
