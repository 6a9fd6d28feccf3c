// Package fstest fuzzes the readers of file systems.
//
// An input is the number of sectors that the volume has, then pieces: the number of a sector and its bytes, all else being zeroes. A fuzzer thus
// works on the few KiB that a file system's tables take up, wherever they lie.
package fstest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

const (
	sectorSize = 512
	pieceSize  = 4 + sectorSize
	maxSectors = 64 << 20 / sectorSize
)

// Volume is the volume that an input describes.
type Volume struct {
	sectors map[int64][]byte
	size    int64
}

// Unpack makes a volume of an input.
func Unpack(p []byte) *Volume {
	v := &Volume{sectors: map[int64][]byte{}}
	if len(p) < 4 {
		return v
	}
	v.size = int64(binary.LittleEndian.Uint32(p)%maxSectors) * sectorSize
	for p = p[4:]; len(p) >= pieceSize; p = p[pieceSize:] {
		v.sectors[int64(binary.LittleEndian.Uint32(p))] = p[4:pieceSize]
	}
	return v
}

// Pack is the reverse of Unpack.
func Pack(image []byte) []byte {
	p := binary.LittleEndian.AppendUint32(nil, uint32(len(image)/sectorSize))
	zero := make([]byte, sectorSize)
	for k := 0; k+sectorSize <= len(image); k += sectorSize {
		if s := image[k : k+sectorSize]; !bytes.Equal(s, zero) {
			p = append(binary.LittleEndian.AppendUint32(p, uint32(k/sectorSize)), s...)
		}
	}
	return p
}

// Size is the volume's, in bytes.
func (v *Volume) Size() int64 { return v.size }

// ReadAt implements [io.ReaderAt].
func (v *Volume) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > v.size || int64(len(p)) > v.size-off {
		return 0, io.ErrUnexpectedEOF
	}
	n := len(p)
	clear(p)
	for len(p) > 0 {
		sector, at := off/sectorSize, off%sectorSize
		k := min(len(p), int(sectorSize-at))
		if s := v.sectors[sector]; s != nil {
			copy(p[:k], s[at:])
		}
		p, off = p[k:], off+int64(k)
	}
	return n, nil
}

// Seeds adds the inputs in testdata/seeds: volumes that other people's programs made, packed and compressed. Each of them must be believed.
func Seeds[F FileSystem](f *testing.F, open func(context.Context, volume.Reader) (F, error)) {
	f.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", "seeds", "*.gz"))
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range names {
		p, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(p))
		if err != nil {
			f.Fatal(err)
		}
		if p, err = io.ReadAll(z); err != nil {
			f.Fatal(err)
		}
		if !Exercise(f, Unpack(p), open) {
			f.Errorf("%s is refused", name)
		}
		f.Add(p)
	}
}

// FileSystem is an open file system.
type FileSystem interface {
	Name() string
	Free(ctx context.Context, yield volume.Yield) error
}

// Exercise opens a volume and walks through its free space, which must lie within it in ascending order, unless the walk ends with a refusal. Nothing may
// panic, and only a refusal is an error, since reading never fails. It returns whether the volume was believed and has free space.
func Exercise[F FileSystem](t testing.TB, v *Volume, open func(context.Context, volume.Reader) (F, error)) bool {
	t.Helper()
	r := volume.Reader{R: v, Size: v.size}
	f, err := open(t.Context(), r)
	if err != nil {
		if volume.Reason(err) == "" {
			t.Fatal(err)
		}
		return false
	}
	at, disorder := int64(0), false
	err = f.Free(t.Context(), func(off, n int64) error {
		disorder = disorder || off < at || n < 1 || off > v.size || n > v.size-off
		at = off + n
		return nil
	})
	if err != nil {
		if volume.Reason(err) == "" {
			t.Fatal(err)
		}
		return false
	}
	if disorder {
		t.Fatal("free space lies outside the volume, or not in order")
	}
	return at > 0
}
