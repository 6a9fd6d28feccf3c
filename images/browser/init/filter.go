package main

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// tail keeps the end of what programs say. It may be used by several goroutines.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailLen = 4096

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b) - tailLen; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}

// filter passes on the lines of this program, which the compositor hands through, and keeps the end of all others: cage complains of each frame that it
// cannot show without copying. It takes writes from one goroutine.
type filter struct {
	tail
	to   io.Writer
	line []byte
}

const maxLine = 1024

// Write implements io.Writer.
func (f *filter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part, after, whole := bytes.Cut(rest, []byte("\n"))
		f.line = append(f.line, part...)
		rest = after
		if !whole && len(f.line) < maxLine {
			break
		}
		line := append(f.line, '\n')
		f.line = f.line[:0]
		if !bytes.HasPrefix(line, []byte(linePrefix)) {
			_, _ = f.tail.Write(line)
		} else if _, err := f.to.Write(line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
