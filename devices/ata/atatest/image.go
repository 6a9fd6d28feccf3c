// Package atatest is what the tests of ATA drives and of their controllers share: an image that fails and waits as it is told, and an interrupt line.
package atatest

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
)

// ErrMedium is what an Image fails with.
var ErrMedium = errors.New("medium error")

// Image is a disk in memory.
type Image struct {
	mu   sync.Mutex
	data []byte
	info disk.Info

	Flushes, Discards atomic.Int32
	Durable           atomic.Int32 // writes that a flush has covered
	Writes            atomic.Int32
	// FailAt and PanicAt are offsets that accesses must not touch; -1 for none. FailFlush makes flushes fail.
	FailAt, PanicAt atomic.Int64
	FailFlush       atomic.Bool

	hold atomic.Pointer[Gate]
}

// Gate holds back the accesses that touch an offset.
type Gate struct {
	at      int64
	Reached chan struct{} // gets a value when an access has come
	Open    chan struct{} // to be closed
}

// NewImage returns an image of size bytes with sectors of 512.
func NewImage(size int) *Image { return NewImageOf(size, disk.Info{SectorSize: 512}) }

// NewImageOf returns an image of size bytes.
func NewImageOf(size int, info disk.Info) *Image {
	m := &Image{data: make([]byte, size), info: info}
	for i := range m.data {
		m.data[i] = byte(i) ^ byte(i>>9)*13
	}
	m.FailAt.Store(-1)
	m.PanicAt.Store(-1)
	return m
}

// Hold makes accesses that touch the byte at off wait for the gate.
func (m *Image) Hold(off int64) *Gate {
	g := &Gate{off, make(chan struct{}, 64), make(chan struct{})}
	m.hold.Store(g)
	return g
}

// Content copies n bytes at off.
func (m *Image) Content(off, n int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.data[off : off+n])
}

func (m *Image) touch(off, n int64) error {
	if err := disk.CheckRange(int64(len(m.data)), off, n); err != nil {
		return err
	}
	if at := m.PanicAt.Load(); at >= off && at < off+n {
		panic("atatest: told to")
	}
	if at := m.FailAt.Load(); at >= off && at < off+n {
		return ErrMedium
	}
	if g := m.hold.Load(); g != nil && g.at >= off && g.at < off+n {
		g.Reached <- struct{}{}
		<-g.Open
	}
	return nil
}

// ReadAt implements disk.Image.
func (m *Image) ReadAt(p []byte, off int64) (int, error) {
	if err := m.touch(off, int64(len(p))); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(p, m.data[off:]), nil
}

// WriteAt implements disk.Image.
func (m *Image) WriteAt(p []byte, off int64) (int, error) {
	m.Writes.Add(1)
	if err := m.touch(off, int64(len(p))); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(m.data[off:], p), nil
}

// Flush implements disk.Image.
func (m *Image) Flush() error {
	m.Flushes.Add(1)
	if m.FailFlush.Load() {
		return ErrMedium
	}
	m.Durable.Store(m.Writes.Load())
	return nil
}

// WriteZeroes implements disk.Image.
func (m *Image) WriteZeroes(off, n int64, _ bool) error {
	if err := m.touch(off, n); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.data[off : off+n])
	return nil
}

// Discard implements disk.Image: the range reads as zeroes afterwards.
func (m *Image) Discard(off, n int64) error {
	m.Discards.Add(1)
	return m.WriteZeroes(off, n, true)
}

// Extents implements disk.Image.
func (m *Image) Extents(off, n int64, yield func(disk.Extent) bool) error {
	yield(disk.Extent{Offset: off, Length: n, Kind: disk.Data, Host: -1})
	return nil
}

// Size implements disk.Image.
func (m *Image) Size() int64 { return int64(len(m.data)) }

// Info implements disk.Image.
func (m *Image) Info() disk.Info { return m.info }

// Close implements disk.Image.
func (m *Image) Close() error { return nil }

// Line is an interrupt line that a test can wait at.
type Line struct {
	mu     sync.Mutex
	change sync.Cond
	high   bool
	rises  int
}

// NewLine returns a line that is low.
func NewLine() *Line {
	l := &Line{}
	l.change.L = &l.mu
	return l
}

// SetLevel implements irq.Line.
func (l *Line) SetLevel(high bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if high && !l.high {
		l.rises++
	}
	l.high = high
	l.change.Broadcast()
}

// Wait returns when the line is high.
func (l *Line) Wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.high {
		l.change.Wait()
	}
}

// High is the level.
func (l *Line) High() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.high
}

// Rises is how often the line went from low to high.
func (l *Line) Rises() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rises
}
