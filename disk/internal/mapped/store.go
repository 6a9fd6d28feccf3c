package mapped

import (
	"io"
	"sync"

	"github.com/sharevm/vmm/disk"
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
}

// New returns the Store of file's blocks.
func New(file disk.File, table Table) *Store {
	return &Store{file: file, table: table, flush: flush.New()}
}

// ReadAt fills p from off.
func (s *Store) ReadAt(p []byte, off int64) (int, error) {
	for done := 0; done < len(p); {
		host, n, err := s.table.Find(off+int64(done), int64(len(p)-done))
		if err != nil {
			return done, err
		}
		part := p[done : done+int(n)]
		if host < 0 {
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
	for done := 0; done < len(p); {
		at, rest := off+int64(done), p[done:]
		n, err := s.place(at, int64(len(rest)), func(host, n int64) (int, error) { return s.file.WriteAt(rest[:n], host) })
		done += n
		if err != nil {
			return done, err
		}
	}
	return len(p), nil
}

// WritevAt stores bufs at off.
func (s *Store) WritevAt(bufs [][]byte, off int64) (int, error) {
	total := vec.Len(bufs)
	w := vec.Get()
	defer w.Put()
	for done := int64(0); done < total; {
		n, err := s.place(off+done, total-done, func(host, n int64) (int, error) {
			if n == total {
				return s.file.WritevAt(bufs, host)
			}
			return s.file.WritevAt(w.Slice(bufs, done, n), host)
		})
		done += int64(n)
		if err != nil {
			return int(done), err
		}
	}
	return int(total), nil
}

// place finds or makes room for the first bytes of [off, off+length) and has write fill it.
func (s *Store) place(off, length int64, write func(host, n int64) (int, error)) (int, error) {
	host, n, err := s.table.Find(off, length)
	if err != nil {
		return 0, err
	}
	if host < 0 {
		s.growth.RLock()
		defer s.growth.RUnlock()
		if host, n, err = s.table.Allocate(off, n); err != nil {
			return 0, err
		}
	}
	m, err := write(host, n)
	if m > 0 {
		s.flush.Wrote()
	}
	if err == nil && int64(m) < n {
		err = io.ErrShortWrite
	}
	return m, err
}

// WriteZeroes makes [off, off+length) read as zeroes. What is not stored is zero already.
func (s *Store) WriteZeroes(off, length int64, unmap bool) error {
	return s.stored(off, length, func(host, n int64) error { return s.file.Zero(host, n, unmap) })
}

// Discard gives the range's space in the file back to the host. The blocks keep their places.
func (s *Store) Discard(off, length int64) error {
	return s.stored(off, length, s.file.Discard)
}

// stored calls fn for each run of the range that is in the file.
func (s *Store) stored(off, length int64, fn func(host, n int64) error) error {
	for length > 0 {
		host, n, err := s.table.Find(off, length)
		if err != nil {
			return err
		}
		if host >= 0 {
			if err := fn(host, n); err != nil {
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
		e := disk.Extent{Offset: base + off, Length: n, Kind: disk.Data, Host: host}
		switch host {
		case Hole:
			e.Kind = disk.Hole
		case Zero:
			e.Kind, e.Host = disk.Zero, -1
		}
		if !yield(e) {
			return false, nil
		}
		off, length = off+n, length-n
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
