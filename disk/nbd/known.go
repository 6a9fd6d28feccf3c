package nbd

import "sync"

// window is how far around a piece the image is asked for data and holes, in bytes.
const window = 64 << 20

// known remembers where the image said that it holds data, one stretch for each window, since to ask may be slow (some file systems look at each page).
// It never has to be told of changes: a hole that has come about there is sent as the zeroes it reads as.
type known struct {
	mu   sync.Mutex
	runs [256]struct{ off, end int64 }
}

// data reports whether [off, off+n) is known to be data.
func (k *known) data(off, n int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := &k.runs[off/window%int64(len(k.runs))]
	return r.off <= off && off+n <= r.end
}

// add remembers that [off, off+n) is data; it lies in one window.
func (k *known) add(off, n int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := &k.runs[off/window%int64(len(k.runs))]
	r.off, r.end = off, off+n
}
