package serial

import (
	"io"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/internal/guard"
)

// inputSize bounds the input that is held for the guest, in bytes.
const inputSize = 4 << 10

// input reads ahead of the receiver, one buffer at most.
type input struct {
	r      io.Reader
	onData func()
	taken  chan struct{} // signalled when the buffer is empty, and on close

	mu     sync.Mutex
	buf    []byte // read and not yet received: the rest of store, or of what a snapshot held
	store  [inputSize]byte
	closed bool
}

func newInput(r io.Reader, onData func()) *input {
	return &input{r: r, onData: onData, taken: make(chan struct{}, 1)}
}

func (in *input) run(log *slog.Logger) {
	defer guard.Panic(log, "serial input")
	chunk := make([]byte, inputSize)
	for {
		n, err := in.r.Read(chunk)
		if !in.offer(chunk[:n]) || err != nil {
			return
		}
		in.onData()
	}
}

// offer makes p the buffer once the one before is used up. It returns false after close.
func (in *input) offer(p []byte) bool {
	for {
		in.mu.Lock()
		if in.closed {
			in.mu.Unlock()
			return false
		}
		if len(in.buf) == 0 {
			in.buf = in.store[:copy(in.store[:], p)]
			in.mu.Unlock()
			return true
		}
		in.mu.Unlock()
		<-in.taken
	}
}

// get takes one byte.
func (in *input) get() (byte, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.buf) == 0 {
		return 0, false
	}
	v := in.buf[0]
	in.buf = in.buf[1:]
	if len(in.buf) == 0 {
		notify(in.taken)
	}
	return v, true
}

func (in *input) close() {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	notify(in.taken)
}
