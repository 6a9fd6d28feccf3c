package disktest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk"
)

// Subject is a format, or a variant of one, under test.
type Subject struct {
	// File is the name to give images, with the format's extension.
	File string
	// Create makes an empty image.
	Create func(path string, o disk.CreateOptions) error
	// Options are given to Create, with the size set.
	Options disk.CreateOptions
	Open    func(path string, o disk.OpenOptions) (disk.Image, error)
	// Check, if not nil, must find nothing at all in an image that was closed, and no damage after a crash.
	Check func(path string, o disk.OpenOptions) (*disk.Report, error)
	// Repair is the format's, for the suite of that name.
	Repair func(path string, o disk.OpenOptions) error
	// Parents says that images may have a parent: the suites [Resize] and [Arrange] then try that as well.
	Parents bool
	// AnySize says that sizes need not be multiples of 512.
	AnySize bool
	// Large is the biggest size to try with a sparse image, in bytes; at least 5 GiB.
	Large int64
}

// Opener adapts a package's own Open.
func Opener[I disk.Image](open func(string, disk.OpenOptions) (I, error)) func(string, disk.OpenOptions) (disk.Image, error) {
	return func(path string, o disk.OpenOptions) (disk.Image, error) {
		i, err := open(path, o)
		if err != nil {
			return nil, err
		}
		return i, nil
	}
}

// Dir returns a folder for the test's images: in memory where that can be had, because it is the disks that are tested
// and not how fast this machine's own disk syncs.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "disktest")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// make creates an image of size bytes in a temporary folder and returns its path.
func (s Subject) make(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(Dir(t), s.File)
	o := s.Options
	o.Size = size
	if err := s.Create(path, o); err != nil {
		t.Fatal(err)
	}
	return path
}

// open opens path or fails the test.
func (s Subject) open(t testing.TB, path string, o disk.OpenOptions) disk.Image {
	t.Helper()
	i, err := s.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// closeClean closes i and checks what it leaves behind.
func (s Subject) closeClean(t testing.TB, i disk.Image, path string) {
	t.Helper()
	if err := i.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if err := s.spotless(path, nil); err != nil {
		t.Fatalf("after a clean close: %v", err)
	}
}

// Change writes p at off of the image at path, which open opens and nobody else has open.
func Change(t testing.TB, open func(string, disk.OpenOptions) (disk.Image, error), path string, p []byte, off int64) {
	t.Helper()
	i, err := open(path, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.WriteAt(p, off); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
}
