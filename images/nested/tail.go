package nested

import (
	"bytes"
	"io"
	"sync"
)

// tailLen is how much of a machine's last words is kept, in bytes.
const tailLen = 8 << 10

// tail keeps the end of what is written to it, and passes everything on to live when that is set.
type tail struct {
	live io.Writer

	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live != nil {
		_, _ = t.live.Write(b) // a broken log must not end the machine
	}
	t.buf = append(t.buf, b...)
	if n := len(t.buf); n > tailLen {
		t.buf = append(t.buf[:0], t.buf[n-tailLen:]...)
	}
	return len(b), nil
}

// featureWarning starts what QEMU says of each feature of the processor model that its emulation lacks, harmlessly.
var featureWarning = []byte("TCG doesn't support requested feature")

// String returns what was kept, without QEMU's usual warnings.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []byte
	for line := range bytes.Lines(t.buf) {
		if !bytes.Contains(line, featureWarning) {
			out = append(out, line...)
		}
	}
	return string(bytes.TrimSpace(out))
}
