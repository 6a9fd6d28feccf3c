package mapped

import (
	"io"
	"sync"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
	"github.com/sharevm/vmm/disk/internal/flush"
	"github.com/sharevm/vmm/disk/internal/vec"
)

// Store reads and writes the blocks of one file by its table. Its methods may be called concurrently; ranges must lie in the disk.
type Store struct {
	file  disk.File
	table Table
	flush *flush.Flusher
	// growth is held for reading by a write from its allocation until its data is in the file, and for writing while a
	// flush takes the new entries: so no entry is published before its data.
	growth sync.RWMutex

	parent   *chain.Window // nil: what is not there is zeroes
	copier   Copier        // the table, if it is one
	unpacker Unpacker      // likewise
	copying  busy          // what copyUp and markZero are at work on
	holes    bool          // see ShowHoles
}

// New returns the Store of file's blocks.
func New(file disk.File, table Table) *Store {
	s := &Store{file: file, table: table, flush: flush.New()}
	s.copier, _ = table.(Copier)
	s.unpacker, _ = table.(Unpacker)
	return s
}

// NewChild returns the Store of file's blocks above parent, which the caller closes. Without a [Copier] it is for reading only.
func NewChild(file disk.File, table Table, parent chain.Window) *Store {
	s := New(file, table)
	s.parent = &parent
	return s
}

// ReadAt fills p from off.
func (s *Store) ReadAt(p []byte, off int64) (int, error) {
	for done := 0; done < len(p); {
		host, n, err := s.table.Find(off+int64(done), int64(len(p)-done))
		if err != nil {
			return done, err
		}
		part := p[done : done+int(n)]
		if s.below(host) {
			if err := s.readBelow(host, part, off+int64(done)); err != nil {
				return done, err
			}
		} else if host < 0 {
			clear(part)
		} else if m, err := s.file.ReadAt(part, host); m < len(part) {
			return done + m, s.short(host+int64(m), err)
		}
		done += int(n)
	}
	return len(p), nil
}

// ReadvAt fills bufs from off.
func (s *Store) ReadvAt(bufs [][]byte, off int64) (int, error) {
	total := vec.Len(bufs)
	var w *vec.Window
	for done := int64(0); done < total; {
		host, n, err := s.table.Find(off+done, total-done)
		if err != nil {
			return int(done), err
		}
		if s.below(host) {
			if err := s.readvBelow(host, bufs, done, n, off+done); err != nil {
				return int(done), err
			}
			done += n
			continue
		}
		if host < 0 {
			vec.Clear(bufs, done, n)
			done += n
			continue
		}
		part := bufs
		if n != total { // the usual request lies in one run, and goes through as it came
			if w == nil {
				w = vec.Get()
				defer w.Put()
			}
			part = w.Slice(bufs, done, n)
		}
		m, err := s.file.ReadvAt(part, host)
		done += int64(m)
		if int64(m) < n {
			return int(done), s.short(host+int64(m), err)
		}
	}
	return int(total), nil
}

// short explains why data that the table promised is not there.
func (s *Store) short(host int64, err error) error {
	if err == nil || err == io.EOF {
		return disk.Corrupt(s.file.Name(), host, "the file ends inside a block of data")
	}
	return err
}

// WriteAt stores p at off.
func (s *Store) WriteAt(p []byte, off int64) (int, error) {
	src := source{p: p, total: int64(len(p))}
	return s.write(&src, off)
}

// WritevAt stores bufs at off.
func (s *Store) WritevAt(bufs [][]byte, off int64) (int, error) {
	src := source{bufs: bufs, window: vec.Get(), total: vec.Len(bufs)}
	defer src.window.Put()
	return s.write(&src, off)
}

func (s *Store) write(src *source, off int64) (int, error) {
	for src.done < src.total {
		n, err := s.place(off+src.done, src.total-src.done, src)
		src.done += int64(n)
		if err != nil {
			return int(src.done), err
		}
	}
	return int(src.total), nil
}

// place finds or makes room for the first bytes of [off, off+length) and stores src there.
func (s *Store) place(off, length int64, src *source) (int, error) {
	host, n, err := s.table.Find(off, length)
	if err != nil {
		return 0, err
	}
	if s.below(host) {
		return s.copyUp(off, n, src)
	}
	if host < 0 {
		s.growth.RLock()
		defer s.growth.RUnlock()
		if host, n, err = s.table.Allocate(off, n); err != nil {
			return 0, err
		}
	}
	m, err := src.store(s.file, host, n)
	if m > 0 {
		s.flush.Wrote()
	}
	if err == nil && int64(m) < n {
		err = io.ErrShortWrite
	}
	return m, err
}

// WriteZeroes makes [off, off+length) read as zeroes. What is nowhere is zero already.
func (s *Store) WriteZeroes(off, length int64, unmap bool) error {
	for length > 0 {
		host, n, err := s.table.Find(off, length)
		if err != nil {
			return err
		}
		switch {
		case s.below(host):
			n, err = s.coverZero(host, off, n)
		case host >= 0:
			err = s.file.Zero(host, n, unmap)
			s.flush.Wrote()
		}
		if err != nil {
			return err
		}
		off, length = off+n, length-n
	}
	return nil
}

// Discard gives the range's space in the file back to the host. The blocks keep their places.
func (s *Store) Discard(off, length int64) error {
	for length > 0 {
		host, n, err := s.table.Find(off, length)
		if err != nil {
			return err
		}
		if host >= 0 {
			if err := s.file.Discard(host, n); err != nil {
				return err
			}
			s.flush.Wrote()
		}
		off, length = off+n, length-n
	}
	return nil
}

// Extents tells how [off, off+length) is stored; base is added to the offsets reported. It returns false when yield did.
func (s *Store) Extents(off, length, base int64, yield func(disk.Extent) bool) (bool, error) {
	for length > 0 {
		host, n, err := s.table.Find(off, length)
		if err != nil {
			return false, err
		}
		more := true
		if host == Hole && s.parent != nil {
			if more, err = s.parent.Extents(off, n, base, yield); err != nil {
				return false, err
			}
		} else {
			e := disk.Extent{Offset: base + off, Length: n, Kind: disk.Data, Host: max(host, -1)}
			switch host {
			case Hole:
				e.Kind = disk.Hole
			case Zero:
				e.Kind = disk.Zero
			}
			if host >= 0 && s.holes {
				more, err = s.split(e, yield)
			} else {
				more = yield(e)
			}
		}
		if err != nil || !more {
			return false, err
		}
		off, length = off+n, length-n
	}
	return true, nil
}

// holesFrom is the size of blocks in bytes from which on it pays to ask the host for holes in them.
const holesFrom = 512 << 10

// ShowHoles has Extents tell holes of the host's file inside of blocks as zeroes, if blocks of blockSize bytes are large enough for that. It returns s.
func (s *Store) ShowHoles(blockSize int64) *Store {
	s.holes = blockSize >= holesFrom
	return s
}

// split yields e, a run of stored bytes, as data and, where the host's file has holes, as zeroes: large blocks are rarely full.
func (s *Store) split(e disk.Extent, yield func(disk.Extent) bool) (bool, error) {
	for e.Length > 0 {
		start, end, err := s.file.NextData(e.Host)
		if err != nil {
			return false, err
		}
		if start == end { // the file has no more data
			start, end = e.Host+e.Length, e.Host+e.Length
		}
		for _, part := range [...]struct {
			kind disk.ExtentKind
			end  int64
		}{{disk.Zero, start}, {disk.Data, end}} {
			n := min(part.end-e.Host, e.Length)
			if n <= 0 {
				continue
			}
			x := disk.Extent{Offset: e.Offset, Length: n, Kind: part.kind, Host: e.Host}
			if part.kind == disk.Zero {
				x.Host = -1
			}
			if !yield(x) {
				return false, nil
			}
			e.Offset, e.Host, e.Length = e.Offset+n, e.Host+n, e.Length-n
		}
	}
	return true, nil
}

// Flush makes all completed writes durable, in the order that the package comment gives.
func (s *Store) Flush() error { return s.flush.Do(s.publish) }

// Wrote notes a change to the file that went past the Store, so that the next Flush syncs it.
func (s *Store) Wrote() { s.flush.Wrote() }

func (s *Store) publish() error {
	s.growth.Lock()
	stages := s.table.Collect()
	s.growth.Unlock()

	for i, stage := range stages {
		for _, p := range stage {
			if _, err := s.file.WriteAt(p.Data, p.Off); err != nil {
				s.table.Restore(stages[i:])
				return err
			}
		}
		if err := s.flush.Sync(s.file.Sync); err != nil {
			return err
		}
	}
	return nil
}
