package state

import (
	"fmt"
	"io"
)

// Aside is a file that memory of devices goes to past their state, and comes back from without being copied twice.
type Aside struct {
	file interface {
		io.ReaderAt
		io.WriterAt
	}
	at  int64 // bytes
	err error
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
	if _, err := a.file.ReadAt(p, a.at); err != nil {
		return fmt.Errorf("memory of devices: %w", err)
	}
	a.at += int64(len(p))
	return nil
}
