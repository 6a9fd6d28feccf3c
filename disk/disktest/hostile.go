package disktest

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
)

// Write is a place of a disk and what stands there.
type Write struct {
	Off  int64
	Data []byte
}

// Written creates an image at path, in a Recorder that it hands to create and open, writes to it, closes it, and returns the file.
func Written[I disk.Image](tb testing.TB, create func(string, disk.CreateOptions) error, open func(string, disk.OpenOptions) (I, error), path string, o disk.CreateOptions, writes ...Write) []byte {
	tb.Helper()
	files := NewRecorder()
	o.Files = files
	if err := create(path, o); err != nil {
		tb.Fatal(err)
	}
	i, err := open(path, disk.OpenOptions{Files: files})
	if err != nil {
		tb.Fatal(err)
	}
	for _, w := range writes {
		if _, err := i.WriteAt(w.Data, w.Off); err != nil {
			tb.Fatal(err)
		}
	}
	if err := i.Close(); err != nil {
		tb.Fatal(err)
	}
	return files.Get(path)
}

// Refused expects that a damaged or foreign file is not opened, is not changed, and that the error is one line that says want and names the file.
func Refused[I io.Closer](t *testing.T, open func(string, disk.OpenOptions) (I, error), path string, img []byte, want string) {
	t.Helper()
	files := NewRecorder()
	files.Put(path, img)
	i, err := open(path, disk.OpenOptions{Files: files})
	if err == nil {
		_ = i.Close()
		t.Fatal("opened")
	}
	if !errors.Is(err, disk.ErrCorrupt) && !errors.Is(err, disk.ErrUnsupported) {
		t.Errorf("%v: neither ErrCorrupt nor ErrUnsupported", err)
	}
	if msg := err.Error(); !strings.Contains(msg, want) || !strings.Contains(msg, path) || strings.Contains(msg, "\n") {
		t.Errorf("%q is not one line that names the file and says %q", msg, want)
	}
	if files.Events() != 0 {
		t.Error("the file was changed")
	}
}
