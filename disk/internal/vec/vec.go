// Package vec holds what is needed to treat several buffers as one.
package vec

import "sync"

// Len is the number of bytes in bufs.
func Len(bufs [][]byte) int64 {
	n := 0
	for _, b := range bufs {
		n += len(b)
	}
	return int64(n)
}

// Clear zeroes bytes [skip, skip+n) of bufs.
func Clear(bufs [][]byte, skip, n int64) {
	for _, b := range bufs {
		if skip >= int64(len(b)) {
			skip -= int64(len(b))
			continue
		}
		b = b[skip:]
		skip = 0
		b = b[:min(n, int64(len(b)))]
		clear(b)
		if n -= int64(len(b)); n == 0 {
			return
		}
	}
}

// Window is a reusable list of sub-buffers. Get one, use it, Put it back.
type Window struct{ bufs [][]byte }

var pool = sync.Pool{New: func() any { return &Window{bufs: make([][]byte, 0, 64)} }}

// Get returns a Window from a pool.
func Get() *Window { return pool.Get().(*Window) }

// Put gives w back; it holds on to no buffer.
func (w *Window) Put() {
	clear(w.bufs[:cap(w.bufs)])
	w.bufs = w.bufs[:0]
	pool.Put(w)
}

// Slice returns bytes [skip, skip+n) of bufs as buffers, valid until the next call.
func (w *Window) Slice(bufs [][]byte, skip, n int64) [][]byte {
	w.bufs = w.bufs[:0]
	for _, b := range bufs {
		if n == 0 {
			break
		}
		if skip >= int64(len(b)) {
			skip -= int64(len(b))
			continue
		}
		b = b[skip:]
		skip = 0
		b = b[:min(n, int64(len(b)))]
		w.bufs = append(w.bufs, b)
		n -= int64(len(b))
	}
	return w.bufs
}
