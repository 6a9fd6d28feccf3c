package serial

import (
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/sharevm/vmm/internal/guard"
)

const (
	ringSize  = 64 << 10         // bytes sent and not yet written
	chunkSize = 4 << 10          // largest write
	gather    = time.Millisecond // a first byte waits this long for company
	maxStall  = 100 * time.Millisecond
	maxFlush  = time.Second
)

// output is the ring between the transmitter and the writer, and the goroutine that empties it.
type output struct {
	w       io.Writer
	onReady func() // room again after the ring was full
	wake    chan struct{}
	room    chan struct{} // signalled when bytes leave the ring
	ended   chan struct{}

	mu      sync.Mutex
	ring    []byte // ringSize bytes once something was sent
	head    int
	n       int
	full    bool // ready reported no room, or put found none: call onReady when there is
	stalled bool // the writer exceeded maxStall: drop without waiting until it moves
	lost    uint64
	busy    bool // a write is under way
	swapped bool // the ring got new content during the write
	paused  bool
	saved   bool // a snapshot has what is in the ring, and this machine has not gone on since, or not yet
	closed  bool
	gone    bool // the goroutine has ended: what comes is dropped
}

func newOutput(w io.Writer, onReady func()) *output {
	return &output{w: w, onReady: onReady, wake: make(chan struct{}, 1), room: make(chan struct{}, 1), ended: make(chan struct{})}
}

// ready says whether a full FIFO of bytes would fit.
func (o *output) ready() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	ok := o.n <= ringSize-fifoSize || o.gone
	o.full = o.full || !ok
	return ok
}

// put appends one byte, waiting for room if need be, but not for long.
func (o *output) put(v byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.n == ringSize && !o.stalled && !o.closed {
		o.wait()
	}
	if o.gone {
		o.lost++
		return
	}
	if o.n == ringSize {
		o.stalled, o.full = true, true
		o.lost++
		return
	}
	if o.ring == nil {
		o.ring = make([]byte, ringSize)
	}
	o.ring[(o.head+o.n)%ringSize] = v
	o.n++
	if o.n == 1 {
		notify(o.wake)
	}
}

// wait releases the lock until there is room or maxStall is over.
func (o *output) wait() {
	timeout := time.NewTimer(maxStall)
	defer timeout.Stop()
	for o.n == ringSize {
		o.mu.Unlock()
		select {
		case <-o.room:
			o.mu.Lock()
		case <-timeout.C:
			o.mu.Lock()
			return
		}
	}
}

// run writes the ring out in pieces as large as have gathered. Bytes leave the ring after they are written, so that a snapshot
// has them until then.
func (o *output) run(log *slog.Logger) {
	defer close(o.ended)
	defer guard.Panic(log, "serial output")
	defer o.end()
	buf := make([]byte, chunkSize)
	for {
		o.mu.Lock()
		if o.n == 0 && o.closed {
			o.mu.Unlock()
			return
		}
		if o.n == 0 || o.paused {
			o.mu.Unlock()
			<-o.wake
			time.Sleep(gather)
			continue
		}
		chunk := buf[:copy(buf, o.ring[o.head:min(o.head+o.n, ringSize)])]
		o.busy = true
		o.mu.Unlock()

		_, _ = o.w.Write(chunk) // a broken pipe must not stop the guest: what it sends is gone

		o.mu.Lock()
		o.busy = false
		if !o.swapped {
			o.head = (o.head + len(chunk)) % ringSize
			o.n -= len(chunk)
		}
		o.swapped, o.stalled = false, false
		ready := o.full && o.n <= ringSize-fifoSize
		if ready {
			o.full = false
		}
		o.mu.Unlock()
		notify(o.room)
		if ready {
			o.onReady()
		}
	}
}

// end lets go of a guest that waits for a writer which has panicked.
func (o *output) end() {
	o.mu.Lock()
	o.gone, o.busy = true, false
	o.lost += uint64(o.n)
	o.n = 0
	waits := o.full
	o.mu.Unlock()
	notify(o.room)
	if waits {
		o.onReady()
	}
}

// pause has the writer write what was sent, as far as it takes that without long waits, and holds it back then.
func (o *output) pause() {
	deadline := time.NewTimer(maxStall)
	defer deadline.Stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	defer func() { o.paused = true }()
	for !o.paused && (o.n > 0 || o.busy) {
		o.mu.Unlock()
		select {
		case <-o.room:
			o.mu.Lock()
		case <-deadline.C:
			o.mu.Lock()
			return
		}
	}
}

func (o *output) resume() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.paused, o.saved = false, false
	notify(o.wake)
}

// close has the writer end when it has written what is in the ring. What a snapshot has is left to the machine that goes on from there.
func (o *output) close() {
	o.mu.Lock()
	if o.saved {
		o.n, o.swapped = 0, o.busy
	}
	o.closed, o.paused = true, false
	o.mu.Unlock()
	notify(o.wake)
	select {
	case <-o.ended:
	case <-time.After(maxFlush):
	}
}

func (o *output) lostBytes() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lost
}

// unsent returns a copy of what is in the ring, for a snapshot.
func (o *output) unsent() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.saved = o.paused
	p := make([]byte, o.n)
	for i := range p {
		p[i] = o.ring[(o.head+i)%ringSize]
	}
	return p
}

// notify signals c without waiting; one signal that has not been taken is enough.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
