package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// progress shows what a long preparation is doing: on a terminal one line that is replaced and finally removed, elsewhere a line each.
type progress struct {
	w        io.Writer
	terminal bool

	mu    sync.Mutex
	shown int // columns of the line on the terminal
}

func newProgress(f *os.File) *progress {
	return &progress{w: f, terminal: term.IsTerminal(int(f.Fd()))}
}

func (p *progress) report(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.terminal {
		_, _ = fmt.Fprintf(p.w, "vmm: %s\n", line)
		return
	}
	p.clear()
	p.shown = len(line)
	_, _ = fmt.Fprint(p.w, line)
}

func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *progress) clear() {
	if p.shown > 0 {
		_, _ = fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.shown))
		p.shown = 0
	}
}
