// Package imagetest is a disk image for the tests of what stands above images, such as controllers: it lies in memory and counts, waits, fails and panics
// as it is told. The suites that images themselves run are in disktest.
package imagetest

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
)

// ErrMedium is what an Image fails with.
var ErrMedium = errors.New("medium error")

// Nowhere and Everywhere are offsets that no access touches, and that every one does, flushes included.
const (
	Nowhere    = -1
	Everywhere = -2
)

// Discarded is what a discarded range reads as.
const Discarded = 0xdd

// Image is a disk in memory.
type Image struct {
	mu   sync.Mutex
	data []byte // guarded by mu
	info disk.Info

	// How often each method was called. Unmaps are the WriteZeroes that may unmap, Durable the writes that a flush has covered.
	Reads, Writes, Flushes, Discards, Zeroes, Unmaps, Durable atomic.Int32
	// FailAt and PanicAt are an offset that accesses must not touch. FailFlush makes flushes fail.
	FailAt, PanicAt atomic.Int64
	FailFlush       atomic.Bool

	hold atomic.Pointer[Gate]
}

// New returns an image of size zero bytes.
func New(size int, info disk.Info) *Image {
	m := &Image{data: make([]byte, size), info: info}
	m.FailAt.Store(Nowhere)
	m.PanicAt.Store(Nowhere)
	return m
}

// Gate holds back the accesses that touch an offset.
type Gate struct {
	at      int64
	Reached chan struct{} // gets a value when an access has come
	Open    chan struct{} // to be closed
}

// Hold makes accesses that touch the byte at off wait for the gate.
func (m *Image) Hold(off int64) *Gate {
	g := &Gate{off, make(chan struct{}, 64), make(chan struct{})}
	m.hold.Store(g)
	return g
}

// Release lets the accesses to come pass. Those that wait go on waiting for their gate.
func (m *Image) Release() { m.hold.Store(nil) }

// Content copies n bytes at off.
func (m *Image) Content(off, n int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.data[off : off+n])
}

// Pattern returns n bytes that no shift makes look the same.
func Pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*11 + i>>8)
	}
	return p
}

// Fill sets the bytes from off on.
func (m *Image) Fill(off int, p []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	copy(m.data[off:], p)
}

// Grow makes the disk n bytes larger.
func (m *Image) Grow(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data = append(m.data, make([]byte, n)...)
}

// touches reports whether an access of n bytes at off touches at.
func touches(at, off, n int64) bool { return at == Everywhere || at >= off && at < off+n }

func (m *Image) touch(off, n int64) error {
	if err := disk.CheckRange(m.Size(), off, n); err != nil {
		return err
	}
	if g := m.hold.Load(); g != nil && touches(g.at, off, n) {
		select {
		case g.Reached <- struct{}{}:
		default:
		}
		<-g.Open
	}
	if touches(m.PanicAt.Load(), off, n) {
		panic("imagetest: told to")
	}
	if touches(m.FailAt.Load(), off, n) {
		return ErrMedium
	}
	return nil
}

// ReadAt implements disk.Image.
func (m *Image) ReadAt(p []byte, off int64) (int, error) {
	m.Reads.Add(1)
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
	if err := m.touch(0, 0); err != nil {
		return err
	}
	if m.FailFlush.Load() {
		return ErrMedium
	}
	m.Durable.Store(m.Writes.Load())
	return nil
}

// WriteZeroes implements disk.Image.
func (m *Image) WriteZeroes(off, n int64, unmap bool) error {
	m.Zeroes.Add(1)
	if unmap {
		m.Unmaps.Add(1)
	}
	return m.set(off, n, 0)
}

// Discard implements disk.Image.
func (m *Image) Discard(off, n int64) error {
	m.Discards.Add(1)
	return m.set(off, n, Discarded)
}

func (m *Image) set(off, n int64, value byte) error {
	if err := m.touch(off, n); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.data[off : off+n] {
		m.data[off+int64(i)] = value
	}
	return nil
}

// Extents implements disk.Image.
func (m *Image) Extents(off, n int64, yield func(disk.Extent) bool) error {
	yield(disk.Extent{Offset: off, Length: n, Kind: disk.Data, Host: -1})
	return nil
}

// Size implements disk.Image.
func (m *Image) Size() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.data))
}

// Info implements disk.Image.
func (m *Image) Info() disk.Info { return m.info }

// Close implements disk.Image.
func (m *Image) Close() error { return nil }
