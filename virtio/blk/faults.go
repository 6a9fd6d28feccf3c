package blk

import (
	"log/slog"
	"sync"
	"time"
)

// faultInterval is how often at most the failures of one kind of request are logged. A guest repeats what failed.
const faultInterval = 10 * time.Second

// faults logs the errors of an image: the first of each kind at once, later ones at intervals with their number.
type faults struct {
	log  *slog.Logger
	mu   sync.Mutex
	seen [len(kindNames)]struct { // guarded by mu
		last  time.Time
		count int // not logged since last
	}
}

// kindNames are the request types that reach an image.
var kindNames = [...]struct {
	kind uint32
	name string
}{
	{typeIn, "read"}, {typeOut, "write"}, {typeFlush, "flush"}, {typeDiscard, "discard"}, {typeWriteZeroes, "write zeroes"},
}

// report notes that the image failed r with err.
func (f *faults) report(r *request, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, k := range kindNames {
		if k.kind != r.kind {
			continue
		}
		s := &f.seen[i]
		s.count++
		if now := time.Now(); now.Sub(s.last) >= faultInterval {
			f.log.Error("disk request failed; the guest sees an I/O error", "request", k.name, "offset", r.offset, "bytes", r.length,
				"failures", s.count, "error", err)
			s.last, s.count = now, 0
		}
	}
}
