package nvme_test

import (
	"bytes"
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

	flushes, discards, zeroes atomic.Int32
	unmaps                    atomic.Int32

	hold    atomic.Pointer[gate] // what accesses wait for
	failing atomic.Bool
	panics  atomic.Bool
}

// gate holds back whoever waits at it until it is opened.
type gate struct{ reached, open chan struct{} }

func newGate() *gate { return &gate{reached: make(chan struct{}, 1), open: make(chan struct{})} }

func newImage(size int) *fakeImage { return &fakeImage{data: make([]byte, size)} }

func (m *fakeImage) touch(off, n int64) error {
	if err := disk.CheckRange(int64(len(m.data)), off, n); err != nil {
		return err
	}
	if g := m.hold.Load(); g != nil {
		select {
		case g.reached <- struct{}{}:
		default:
		}
		<-g.open
	}
	if m.panics.Load() {
		panic("fakeImage: told to")
	}
	if m.failing.Load() {
		return errMedium
	}
	return nil
}

func (m *fakeImage) ReadAt(p []byte, off int64) (int, error) {
	if err := m.touch(off, int64(len(p))); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(p, m.data[off:]), nil
}

func (m *fakeImage) WriteAt(p []byte, off int64) (int, error) {
	if err := m.touch(off, int64(len(p))); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(m.data[off:], p), nil
}

func (m *fakeImage) Flush() error {
	m.flushes.Add(1)
	return m.touch(0, 0)
}

func (m *fakeImage) WriteZeroes(off, n int64, unmap bool) error {
	m.zeroes.Add(1)
	if unmap {
		m.unmaps.Add(1)
	}
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
	copy(m.data[off:off+n], bytes.Repeat([]byte{0xdd}, int(n)))
	return nil
}

func (m *fakeImage) Extents(off, n int64, yield func(disk.Extent) bool) error {
	yield(disk.Extent{Offset: off, Length: n, Kind: disk.Data, Host: -1})
	return nil
}

func (m *fakeImage) Size() int64     { return int64(len(m.data)) }
func (m *fakeImage) Info() disk.Info { return m.info }
func (m *fakeImage) Close() error    { return nil }

func (m *fakeImage) content(off, n int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.data[off : off+n])
}

// pattern is n bytes that no other seed has.
func pattern(seed byte, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = seed ^ byte(i) ^ byte(i>>8)*31
	}
	return p
}
