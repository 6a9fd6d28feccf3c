package space

import (
	"sort"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/vec"
)

// Concat is several Spaces one after the other.
type Concat struct {
	parts []Space
	ends  []int64 // where each part ends in the whole
}

// Add appends s, of size bytes.
func (c *Concat) Add(s Space, size int64) {
	c.parts = append(c.parts, s)
	c.ends = append(c.ends, c.Size()+size)
}

// Size is the length of all parts.
func (c *Concat) Size() int64 {
	if len(c.ends) == 0 {
		return 0
	}
	return c.ends[len(c.ends)-1]
}

// Space returns the whole: the one part itself if there is only one.
func (c *Concat) Space() Space {
	if len(c.parts) == 1 {
		return c.parts[0]
	}
	return c
}

// at returns the part that holds off, its start, and how many of length bytes lie in it.
func (c *Concat) at(off, length int64) (s Space, start, n int64) {
	i := sort.Search(len(c.ends), func(i int) bool { return c.ends[i] > off })
	if i > 0 {
		start = c.ends[i-1]
	}
	return c.parts[i], start, min(length, c.ends[i]-off)
}

// bytes runs fn on each part of p's range.
func (c *Concat) bytes(p []byte, off int64, fn func(s Space, p []byte, off int64) (int, error)) (int, error) {
	for done := 0; done < len(p); {
		s, start, n := c.at(off+int64(done), int64(len(p)-done))
		m, err := fn(s, p[done:done+int(n)], off+int64(done)-start)
		done += m
		if err != nil {
			return done, err
		}
	}
	return len(p), nil
}

// vectors runs fn on each part of bufs' range.
func (c *Concat) vectors(bufs [][]byte, off int64, fn func(s Space, bufs [][]byte, off int64) (int, error)) (int, error) {
	total := vec.Len(bufs)
	w := vec.Get()
	defer w.Put()
	for done := int64(0); done < total; {
		s, start, n := c.at(off+done, total-done)
		m, err := fn(s, w.Slice(bufs, done, n), off+done-start)
		done += int64(m)
		if err != nil {
			return int(done), err
		}
	}
	return int(total), nil
}

// ranges runs fn on each part of a range.
func (c *Concat) ranges(off, length int64, fn func(s Space, off, n, start int64) (bool, error)) (bool, error) {
	for length > 0 {
		s, start, n := c.at(off, length)
		if more, err := fn(s, off-start, n, start); err != nil || !more {
			return more, err
		}
		off, length = off+n, length-n
	}
	return true, nil
}

// ReadAt fills p from off.
func (c *Concat) ReadAt(p []byte, off int64) (int, error) { return c.bytes(p, off, Space.ReadAt) }

// WriteAt stores p at off.
func (c *Concat) WriteAt(p []byte, off int64) (int, error) { return c.bytes(p, off, Space.WriteAt) }

// ReadvAt fills bufs from off.
func (c *Concat) ReadvAt(bufs [][]byte, off int64) (int, error) {
	return c.vectors(bufs, off, Space.ReadvAt)
}

// WritevAt stores bufs at off.
func (c *Concat) WritevAt(bufs [][]byte, off int64) (int, error) {
	return c.vectors(bufs, off, Space.WritevAt)
}

// WriteZeroes makes [off, off+length) read as zeroes.
func (c *Concat) WriteZeroes(off, length int64, unmap bool) error {
	_, err := c.ranges(off, length, func(s Space, off, n, _ int64) (bool, error) { return true, s.WriteZeroes(off, n, unmap) })
	return err
}

// Discard gives [off, off+length) back.
func (c *Concat) Discard(off, length int64) error {
	_, err := c.ranges(off, length, func(s Space, off, n, _ int64) (bool, error) { return true, s.Discard(off, n) })
	return err
}

// Extents reports how [off, off+length) is stored.
func (c *Concat) Extents(off, length, base int64, yield func(disk.Extent) bool) (bool, error) {
	return c.ranges(off, length, func(s Space, off, n, start int64) (bool, error) { return s.Extents(off, n, base+start, yield) })
}

// Flush makes completed writes to all parts durable.
func (c *Concat) Flush() error {
	for _, s := range c.parts {
		if err := s.Flush(); err != nil {
			return err
		}
	}
	return nil
}
