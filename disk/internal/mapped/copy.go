package mapped

import (
	"bytes"
	"io"
	"sync"

	"github.com/sharevm/vmm/disk/internal/vec"
)

// copyStep bounds the memory that copying from below takes at a time, in bytes.
const copyStep = 256 << 10

// noBytes is what zeroes are told by.
var noBytes [copyStep]byte

var copyBuffers = sync.Pool{New: func() any { return new([copyStep]byte) }}

// below says whether what Find returned means that content lies elsewhere than in the file's plain blocks.
func (s *Store) below(host int64) bool {
	return host == Packed || host == Hole && s.parent != nil
}

// readBelow fills p from off, of which Find said kind.
func (s *Store) readBelow(kind int64, p []byte, off int64) error {
	if kind == Packed {
		return s.unpacker.Unpack(p, off)
	}
	_, err := s.parent.ReadAt(p, off)
	return err
}

// readvBelow fills bytes [done, done+n) of bufs from off, of which Find said kind.
func (s *Store) readvBelow(kind int64, bufs [][]byte, done, n, off int64) error {
	w := vec.Get()
	defer w.Put()
	part := w.Slice(bufs, done, n)
	if kind == Hole {
		_, err := s.parent.ReadvAt(part, off)
		return err
	}
	for _, b := range part {
		if err := s.unpacker.Unpack(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// copyUp stores src in the first bytes of [off, off+length), all of which lies below, in fresh room, together with what is below of
// the units that it covers in part. It may do nothing when another write was faster.
func (s *Store) copyUp(off, length int64, src *source) (int, error) {
	unit := s.copier.Unit()
	start, end := off&^(unit-1), (off+length+unit-1)&^(unit-1)
	own := span{start, end}
	s.copying.lock(own)
	defer s.copying.unlock(own)
	kind, n, err := s.table.Find(off, length)
	if err != nil || !s.below(kind) {
		return 0, err
	}
	end = (off + n + unit - 1) &^ (unit - 1)

	s.growth.RLock()
	defer s.growth.RUnlock()
	host, room, err := s.copier.Place(start, end-start)
	if err != nil {
		return 0, err
	}
	n, end = min(n, start+room-off), start+room
	if err := s.fill(kind, start, off, n, end, host, src); err != nil {
		s.copier.Forget(start, room, host)
		return 0, err
	}
	s.copier.Adopt(start, room, host)
	s.flush.Wrote()
	return int(n), nil
}

// fill writes [start, end) of the disk to host: n bytes of src from off on, around them what is below.
func (s *Store) fill(kind, start, off, n, end, host int64, src *source) error {
	if err := s.lift(kind, start, off, host); err != nil {
		return err
	}
	m, err := src.store(s.file, host+off-start, n)
	if err == nil && int64(m) < n {
		err = io.ErrShortWrite
	}
	if err != nil {
		return err
	}
	return s.lift(kind, off+n, end, host+off+n-start)
}

// lift copies [from, to) of the disk from below to host, which reads as zeroes.
func (s *Store) lift(kind, from, to, host int64) error {
	if from == to {
		return nil
	}
	buf := copyBuffers.Get().(*[copyStep]byte)
	defer copyBuffers.Put(buf)
	for from < to {
		p := buf[:min(copyStep, to-from)]
		if err := s.readBelow(kind, p, from); err != nil {
			return err
		}
		if !bytes.Equal(p, noBytes[:len(p)]) { // holes stay holes
			if m, err := s.file.WriteAt(p, host); err != nil {
				return err
			} else if m < len(p) {
				return io.ErrShortWrite
			}
		}
		from, host = from+int64(len(p)), host+int64(len(p))
	}
	return nil
}

// coverZero makes the first bytes of [off, off+length), all of which lies below, read as zeroes, and returns how many.
func (s *Store) coverZero(kind, off, length int64) (int64, error) {
	if kind == Hole {
		if zero, err := s.parent.Zero(off, length); zero || err != nil {
			return length, err
		}
	}
	if z, ok := s.copier.(Zeroer); ok {
		unit := z.Unit()
		start, end := (off+unit-1)&^(unit-1), (off+length)&^(unit-1)
		switch {
		case start == off && end > start:
			return end - start, s.markZero(z, start, end)
		case start > off && end > start:
			length = start - off
		}
	}
	n, err := s.copyUp(off, length, &source{total: length})
	return int64(n), err
}

// markZero marks those units of [start, end) that still lie below.
func (s *Store) markZero(z Zeroer, start, end int64) error {
	own := span{start, end}
	s.copying.lock(own)
	defer s.copying.unlock(own)
	s.growth.RLock()
	defer s.growth.RUnlock()
	for start < end {
		host, n, err := s.table.Find(start, end-start)
		if err != nil {
			return err
		}
		switch {
		case host >= 0:
			err = s.file.Zero(host, n, true)
		case s.below(host):
			err = z.MarkZero(start, n)
		}
		if err != nil {
			return err
		}
		start += n
	}
	s.flush.Wrote()
	return nil
}
