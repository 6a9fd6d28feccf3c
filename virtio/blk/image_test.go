package blk_test

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
)

// errMedium is what a fakeImage fails with.
var errMedium = errors.New("medium error")

// fakeImage is a disk in memory that counts, blocks, fails and panics on demand.
type fakeImage struct {
	mu   sync.Mutex
	data []byte // guarded by mu

	info disk.Info

	reads, writes, flushes, discards, zeroes atomic.Int32

	hold    atomic.Pointer[gate] // what reads of heldOffset wait for
	heldAt  int64
	failAt  atomic.Int64 // accesses that cover this offset fail; -1: none
	panicAt atomic.Int64 // accesses that cover this offset panic; -1: none
	durable atomic.Int32 // writes that a flush has covered
}

// gate holds back whoever waits at it until it is opened.
type gate struct{ reached, open chan struct{} }

func newGate() *gate { return &gate{reached: make(chan struct{}, 1), open: make(chan struct{})} }

func newImage(size int) *fakeImage {
	m := &fakeImage{data: make([]byte, size)}
	m.failAt.Store(-1)
	m.panicAt.Store(-1)
	return m
}

func (m *fakeImage) touch(off, n int64) error {
	if err := disk.CheckRange(int64(len(m.data)), off, n); err != nil {
		return err
	}
	if at := m.panicAt.Load(); at >= off && at < off+n {
		panic("fakeImage: told to")
	}
	if at := m.failAt.Load(); at >= off && at < off+n {
		return errMedium
	}
	if g := m.hold.Load(); g != nil && m.heldAt >= off && m.heldAt < off+n {
		select {
		case g.reached <- struct{}{}:
		default:
		}
		<-g.open
	}
	return nil
}

func (m *fakeImage) ReadAt(p []byte, off int64) (int, error) {
	m.reads.Add(1)
	if err := m.touch(off, int64(len(p))); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(p, m.data[off:]), nil
}

func (m *fakeImage) WriteAt(p []byte, off int64) (int, error) {
	m.writes.Add(1)
	if err := m.touch(off, int64(len(p))); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(m.data[off:], p), nil
}

func (m *fakeImage) Flush() error {
	m.flushes.Add(1)
	m.durable.Store(m.writes.Load())
	return nil
}

func (m *fakeImage) WriteZeroes(off, n int64, unmap bool) error {
	m.zeroes.Add(1)
	if err := m.touch(off, n); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.data[off : off+n])
	return nil
}

func (m *fakeImage) Discard(off, n int64) error {
	m.discards.Add(1)
	if err := m.touch(off, n); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.data[off : off+n] {
		m.data[off+int64(i)] = 0xdd
	}
	return nil
}

func (m *fakeImage) Extents(off, n int64, yield func(disk.Extent) bool) error {
	yield(disk.Extent{Offset: off, Length: n, Kind: disk.Data, Host: -1})
	return nil
}

func (m *fakeImage) Size() int64     { return int64(len(m.data)) }
func (m *fakeImage) Info() disk.Info { return m.info }
func (m *fakeImage) Close() error    { return nil }

// vectorImage is a fakeImage that is a disk.VectorImage too.
type vectorImage struct {
	*fakeImage
	vectors atomic.Int32 // vectored calls
	longest atomic.Int32 // most buffers in one
}

func (m *vectorImage) note(bufs [][]byte) {
	m.vectors.Add(1)
	m.longest.Store(max(m.longest.Load(), int32(len(bufs))))
}

func (m *vectorImage) ReadvAt(bufs [][]byte, off int64) (n int, err error) {
	m.note(bufs)
	for _, p := range bufs {
		k, err := m.ReadAt(p, off+int64(n))
		if n += k; err != nil {
			return n, err
		}
	}
	return n, nil
}

func (m *vectorImage) WritevAt(bufs [][]byte, off int64) (n int, err error) {
	m.note(bufs)
	for _, p := range bufs {
		k, err := m.WriteAt(p, off+int64(n))
		if n += k; err != nil {
			return n, err
		}
	}
	return n, nil
}
