package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// showSaving shows on a terminal how much of a machine's memory has been saved to f, of size bytes at most, until the function that it returns is called.
func showSaving(f *os.File, size int64) (stop func()) {
	if f == nil || !term.IsTerminal(int(os.Stderr.Fd())) {
		return func() {}
	}
	p := newProgress(os.Stderr)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer p.done()
		const interval = 200 * time.Millisecond
		for tick := time.NewTicker(interval); ; {
			select {
			case <-end:
				tick.Stop()
				return
			case <-tick.C:
				p.report(fmt.Sprintf("saving: %d of at most %d MiB of memory", allocated(f)>>20, size>>20))
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// allocated is how many bytes a file takes on its disk.
func allocated(f *os.File) int64 {
	const block = 512
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return 0
	}
	return st.Blocks * block
}
