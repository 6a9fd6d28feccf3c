package vhd

import (
	"time"

	"github.com/sharevm/vmm/disk"
)

// dated is a file whose time of last change, by which children know it, stays what it was when it was opened.
type dated struct {
	disk.File
	time time.Time
	set  func(time.Time) error
}

// keepDate returns file as a dated one, if its host has times.
func keepDate(file disk.File) disk.File {
	t, ok := disk.ModTime(file)
	s, can := file.(interface{ SetModTime(time.Time) error })
	if !ok || !can {
		return file
	}
	return &dated{file, t, s.SetModTime}
}

// keep sets the time after each change, so that a writer that dies leaves it right.
func (d *dated) keep(err error) error {
	if e := d.set(d.time); err == nil {
		err = e
	}
	return err
}

// ModTime is for [disk.ModTime].
func (d *dated) ModTime() (time.Time, error) { return d.time, nil }

func (d *dated) WriteAt(p []byte, off int64) (int, error) {
	n, err := d.File.WriteAt(p, off)
	return n, d.keep(err)
}

func (d *dated) WritevAt(bufs [][]byte, off int64) (int, error) {
	n, err := d.File.WritevAt(bufs, off)
	return n, d.keep(err)
}

func (d *dated) Truncate(size int64) error { return d.keep(d.File.Truncate(size)) }

func (d *dated) Zero(off, length int64, unmap bool) error {
	return d.keep(d.File.Zero(off, length, unmap))
}

func (d *dated) Discard(off, length int64) error { return d.keep(d.File.Discard(off, length)) }
