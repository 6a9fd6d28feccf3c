package payload

import (
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// pieceSize is what one read copies, in bytes: enough that the call itself does not count.
	pieceSize = 2 << 20
	// maxReaders bounds the processors that copy: more than a few only wait for memory.
	maxReaders = 4
)

// readParallel fills p from offset off on several processors. Most of the work is in the host's kernel, which finds memory for the guest's
// pages and copies from its page cache; for an unpacked Linux that is most of what a machine's start takes.
func (f File) readParallel(p []byte, off int64) error {
	pieces := (len(p) + pieceSize - 1) / pieceSize
	readers := min(pieces, maxReaders, runtime.GOMAXPROCS(0))
	if readers < 2 {
		return f.ReadAt(p, off)
	}
	var next atomic.Int64
	var failed atomic.Bool
	errs := make([]error, readers)
	var done sync.WaitGroup
	for r := range readers {
		done.Go(func() {
			for !failed.Load() {
				at := (int(next.Add(1)) - 1) * pieceSize
				if at >= len(p) {
					return
				}
				if errs[r] = f.ReadAt(p[at:min(at+pieceSize, len(p))], off+int64(at)); errs[r] != nil {
					failed.Store(true)
				}
			}
		})
	}
	done.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
