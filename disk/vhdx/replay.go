package vhdx

import (
	"io"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/vec"
)

// replayed is a file as its log would leave it. Reading sees the log's changes, which are kept in memory; the file itself
// is changed by commit only.
type replayed struct {
	disk.File
	size   int64 // at least
	zeroes []span
	pages  map[int64][]byte // by offset; they lie above the zeroes
}

// span is a range of the file.
type span struct{ start, end int64 }

// replay returns the file as the changes leave it.
func replay(file disk.File, changes []change, size int64) *replayed {
	r := &replayed{File: file, size: size, pages: map[int64][]byte{}}
	for _, c := range changes {
		if c.data != nil {
			r.pages[c.off] = c.data
			continue
		}
		for at := range r.pages {
			if at >= c.off && at < c.off+c.length {
				delete(r.pages, at)
			}
		}
		r.zeroes = append(r.zeroes, span{c.off, c.off + c.length})
	}
	return r
}

// Size is the length that the log gives the file.
func (r *replayed) Size() (int64, error) {
	n, err := r.File.Size()
	return max(n, r.size), err
}

// ReadAt reads the file and then puts the log's changes over it.
func (r *replayed) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.File.ReadAt(p, off)
	if inside := int(min(int64(len(p)), r.size-off)); n < inside && (err == nil || err == io.EOF) {
		clear(p[n:inside])
		n = inside
		if n == len(p) {
			err = nil
		}
	}
	got := p[:n]
	for _, z := range r.zeroes {
		if from, to := max(z.start, off), min(z.end, off+int64(n)); from < to {
			clear(got[from-off : to-off])
		}
	}
	for at := off &^ (pageSize - 1); at < off+int64(n); at += pageSize {
		if page := r.pages[at]; page != nil {
			from := max(at, off)
			copy(got[from-off:], page[from-at:])
		}
	}
	return n, err
}

// ReadvAt implements [disk.File].
func (r *replayed) ReadvAt(bufs [][]byte, off int64) (int, error) {
	done := 0
	for _, b := range bufs {
		n, err := r.ReadAt(b, off+int64(done))
		if done += n; err != nil || n < len(b) {
			return done, err
		}
	}
	return int(vec.Len(bufs)), nil
}

// commit makes the changes in the file, durably. After a crash in the midst of it they are made again.
func (r *replayed) commit() error {
	size, err := r.File.Size()
	if err != nil {
		return err
	}
	if size < r.size {
		if err := r.Truncate(r.size); err != nil {
			return err
		}
	}
	for _, z := range r.zeroes {
		end := min(z.end, size) // behind it are zeroes
		if z.start >= end {
			continue
		}
		if err := r.Zero(z.start, end-z.start, true); err != nil {
			return err
		}
	}
	for at, p := range r.pages {
		if _, err := r.WriteAt(p, at); err != nil {
			return err
		}
	}
	return r.Sync()
}
