package tools_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
)

const mib = 1 << 20

// mixed returns size bytes with holes of a page and more, runs that compress, and noise.
func mixed(size int, seed uint64) []byte {
	p := make([]byte, size)
	rng := rand.New(rand.NewPCG(seed, 1))
	for at := 0; at < size; {
		part := p[at:min(size, at+1+rng.IntN(200<<10))]
		switch rng.IntN(4) {
		case 0:
			for k := range part {
				part[k] = byte(rng.Uint32())
			}
		case 1:
			copy(part, bytes.Repeat([]byte("all work and no play "), len(part)/21+1))
		}
		at += len(part)
	}
	if size > 0 {
		p[size-1] = 0xee
	}
	return p
}

// image makes an image of that content at path.
func image(t testing.TB, path string, content []byte, o disk.CreateOptions) string {
	t.Helper()
	if o.Parent == "" {
		o.Size = int64(len(content))
	}
	if err := formats.Create(path, o); err != nil {
		t.Fatal(err)
	}
	write(t, path, content, 0)
	return path
}

// write stores the parts of content that are not zero from off on.
func write(t testing.TB, path string, content []byte, off int64) {
	t.Helper()
	i, err := formats.Open(path, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const block = 4096
	for at := 0; at < len(content); at += block {
		part := content[at:min(at+block, len(content))]
		if len(bytes.Trim(part, "\x00")) == 0 {
			continue
		}
		if _, err := i.WriteAt(part, off+int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
}

// content reads all of an image.
func content(t testing.TB, path string, o disk.OpenOptions) []byte {
	t.Helper()
	o.ReadOnly = true
	i, err := formats.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	p, err := io.ReadAll(io.NewSectionReader(i, 0, i.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func open(t testing.TB, path string) disk.Image {
	t.Helper()
	i, err := formats.Open(path, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	return i
}

// only fails unless dir holds just these files.
func only(t testing.TB, dir string, want ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
}

// failing are host files of which one cannot be read beyond some byte.
type failing struct {
	disk.HostFiles
	beyond int64
}

var errBadSector = errors.New("bad sector")

func (f failing) Open(path string, o disk.FileOptions) (disk.File, error) {
	file, err := f.HostFiles.Open(path, o)
	return failingFile{file, f.beyond}, err
}

type failingFile struct {
	disk.File
	beyond int64
}

func (f failingFile) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.beyond {
		return 0, errBadSector
	}
	return f.File.ReadAt(p, off)
}

// canceled returns a context and a progress that cancels it once half is done.
func canceled(t testing.TB) (context.Context, func(done, total int64)) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, func(done, total int64) {
		if done*2 >= total {
			cancel()
		}
	}
}

func dir(t testing.TB) string { return disktest.Dir(t) }

func in(dir, name string) string { return filepath.Join(dir, name) }
