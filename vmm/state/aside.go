package state

import (
	"fmt"
	"io"
	"sync"
)

// Aside is a file that memory of devices goes to past their state, and comes back from without being copied twice.
type Aside struct {
	file interface {
		io.ReaderAt
		io.WriterAt
	}
	at   int64 // bytes
	err  error
	work sync.WaitGroup // what is read later
}

// NewAside begins at the file's beginning.
func NewAside(file interface {
	io.ReaderAt
	io.WriterAt
}) *Aside {
	return &Aside{file: file}
}

// Err is why the file could not be written.
func (a *Aside) Err() error {
	if a == nil {
		return nil
	}
	return a.err
}

func (a *Aside) write(p []byte) {
	if a.err == nil {
		_, a.err = a.file.WriteAt(p, a.at)
		a.at += int64(len(p))
	}
}

func (a *Aside) read(p []byte) error {
	if err := a.readAt(p, a.at); err != nil {
		return err
	}
	a.at += int64(len(p))
	return nil
}

func (a *Aside) readAt(p []byte, at int64) error {
	if _, err := a.file.ReadAt(p, at); err != nil {
		return fmt.Errorf("memory of devices: %w", err)
	}
	return nil
}

// skip moves on by n bytes, more than none, which must be there.
func (a *Aside) skip(n int) (from int64, err error) {
	var last [1]byte
	if err := a.readAt(last[:], a.at+int64(n)-1); err != nil {
		return 0, err
	}
	from = a.at
	a.at += int64(n)
	return from, nil
}

// Wait waits for what Reader.PagesLater does. The file has to stay open until then.
func (a *Aside) Wait() { a.work.Wait() }
