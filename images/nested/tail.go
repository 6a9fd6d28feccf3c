package nested

import (
	"bytes"
	"io"
	"slices"
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

// harmless are parts of lines that are said every time: QEMU's of each feature of the processor model that its emulation lacks, and
// the kernel's of a machine without PCI.
var harmless = [][]byte{[]byte("TCG doesn't support requested feature"), []byte("PCI: Fatal: No config space access function found")}

// String returns what was kept, without the usual noise.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []byte
	for line := range bytes.Lines(t.buf) {
		if !slices.ContainsFunc(harmless, func(h []byte) bool { return bytes.Contains(line, h) }) {
			out = append(out, line...)
		}
	}
	return string(bytes.TrimSpace(out))
}
