package ntfs

import (
	"context"
	"io/fs"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

// File is the contents of a file, and where they lie.
type File struct{ s *stream }

// File opens a file by the names that lead to it from the root directory, in lower-case ASCII. Where there is none, the error is fs.ErrNotExist.
// The volume must have been opened without a refusal.
func (v *Volume) File(ctx context.Context, path ...string) (*File, error) {
	r, err := v.system(ctx, fileRoot)
	if err != nil {
		return nil, err
	}
	for _, name := range path {
		if r, err = v.child(ctx, r, name); err != nil {
			return nil, err
		}
		if r == nil {
			return nil, fs.ErrNotExist
		}
	}
	if err := r.whole(); err != nil {
		return nil, err
	}
	s, err := v.dataOf(r)
	if err != nil {
		return nil, err
	}
	return &File{s}, nil
}

// Size is the file's length in bytes.
func (f *File) Size() int64 { return f.s.size }

// Read fills p from off, which with its length must lie within the file.
func (f *File) Read(ctx context.Context, p []byte, off int64) error { return f.s.read(ctx, p, off) }

// Place says where on the volume the n bytes at off lie, in bytes: in one piece, and written already. It refuses where they do not.
func (f *File) Place(off, n int64) (int64, error) {
	if off < 0 || n < 0 || off > f.s.init || n > f.s.init-off {
		return 0, volume.Refuse("%s ends before byte %d", f.s.what, off+n)
	}
	size, at := f.s.v.boot.clusterSize, int64(0)
	for _, r := range f.s.runs {
		if end := at + r.count*size; off < end {
			if r.hole || n > end-off {
				break
			}
			return r.first*size + off - at, nil
		}
		at += r.count * size
	}
	return 0, volume.Refuse("bytes %d to %d of %s cannot be changed in place", off, off+n, f.s.what)
}
