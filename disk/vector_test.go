package disk_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/raw"
)

// plain hides what an image can do beyond disk.Image.
type plain struct{ disk.Image }

// short moves a byte less than it was asked to, and says nothing of it.
type short struct{ disk.Image }

func (short) ReadAt(p []byte, _ int64) (int, error)  { return len(p) - 1, io.EOF }
func (short) WriteAt(p []byte, _ int64) (int, error) { return len(p) - 1, nil }

func TestImageVectors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := raw.Create(path, disk.CreateOptions{Size: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	image, err := raw.Open(path, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	for name, img := range map[string]disk.Image{"vectors": image, "plain": plain{image}} {
		data := []byte(name + ", in three pieces")
		at := int64(1<<20 - len(data))
		if err := disk.WriteVector(img, [][]byte{data[:1], data[1:8], data[8:]}, at); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := make([]byte, len(data))
		if err := disk.ReadVector(img, [][]byte{got[:3], got[3:3], got[3:]}, at); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: read %q, %v", name, got, err)
		}
		if err := disk.ReadVector(img, [][]byte{got, got}, at); !errors.Is(err, disk.ErrOutOfRange) {
			t.Errorf("%s: read past the end: %v", name, err)
		}
		if err := disk.WriteVector(img, [][]byte{got, got}, at); !errors.Is(err, disk.ErrOutOfRange) {
			t.Errorf("%s: write past the end: %v", name, err)
		}
	}
	buf := [][]byte{make([]byte, 512)}
	for name, err := range map[string]error{"read": disk.ReadVector(short{image}, buf, 0), "write": disk.WriteVector(short{image}, buf, 0)} {
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a %s that fell short: %v", name, err)
		}
	}
}
