package terminal

import (
	"fmt"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Terminal is a terminal in raw mode: every key reaches the program at once and nothing is echoed.
type Terminal struct {
	in      *os.File
	old     *term.State
	resized chan os.Signal
	once    sync.Once
}

// Raw puts the terminal behind in into raw mode, or returns nil if in is no terminal. onResize is called with the
// window's size, now and at each change.
func Raw(in *os.File, onResize func(cols, rows uint16)) (*Terminal, error) {
	fd := int(in.Fd())
	if !term.IsTerminal(fd) {
		return nil, nil
	}
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("put the terminal into raw mode: %w", err)
	}
	t := &Terminal{in: in, old: old, resized: make(chan os.Signal, 1)}
	signal.Notify(t.resized, unix.SIGWINCH)
	report := func() {
		if cols, rows, err := term.GetSize(fd); err == nil && onResize != nil {
			onResize(uint16(cols), uint16(rows))
		}
	}
	report()
	go func() {
		for range t.resized {
			report()
		}
	}()
	return t, nil
}

// Restore gives the terminal back as it was. It is idempotent, and allowed on nil.
func (t *Terminal) Restore() {
	if t == nil {
		return
	}
	t.once.Do(func() {
		signal.Stop(t.resized)
		close(t.resized)
		_ = term.Restore(int(t.in.Fd()), t.old)
	})
}
