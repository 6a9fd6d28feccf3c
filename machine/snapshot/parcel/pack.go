package parcel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/machine/snapshot"
	"github.com/sharevm/vmm/vmm/memory"
)

// piece is a unit of a file on its way between the disk and the parcel.
type piece struct {
	file   int
	unit   int64
	raw    []byte
	packed []byte
	sum    uint32
	err    error
	done   chan struct{} // closed when the above is there
}

// Pack writes the snapshot in dir as a parcel. It does not check it; see snapshot.Verify. said hears how many bytes of how many are done.
func Pack(ctx context.Context, w io.Writer, dir string, disks []Disk, said func(done, all int64)) error {
	c := &Contents{Disks: disks}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for _, e := range entries {
		if !known(e.Name()) {
			continue
		}
		f, err := openRegular(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		files = append(files, f)
		info, err := f.Stat()
		if err != nil {
			return err
		}
		member := File{Name: e.Name(), Size: info.Size()}
		if member.Data, err = dataOf(f, &member); err != nil {
			return err
		}
		c.Files = append(c.Files, member)
	}
	if err := c.write(w); err != nil {
		return err
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)))
	if err != nil {
		return err
	}
	defer z.Close()
	ctx, cancel := context.WithCancel(ctx)
	pieces := make(chan *piece, 2*runtime.GOMAXPROCS(0)) // in order
	read := make(chan error, 1)
	go func() {
		defer close(pieces)
		read <- c.readUnits(ctx, files, z, pieces)
	}()
	err = writePieces(w, pieces, c.Room(), said)
	cancel()
	for p := range pieces { // so that nobody uses z any more
		<-p.done
	}
	if e := <-read; err == nil {
		err = e
	}
	return err
}

// openRegular opens a file for reading; a FIFO of that name does not hang it, and a link is not followed.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, errors.Join(err, fmt.Errorf("%s: %w: it is no regular file", path, snapshot.ErrCorrupt))
	}
	return f, nil
}

// nextData is the first unit from one on that is not all of it a hole; false where there is none.
func nextData(f *os.File, unit int64) (int64, bool, error) {
	at, err := unix.Seek(int(f.Fd()), unit*memory.SumUnit, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return 0, false, nil
	case err != nil:
		return 0, false, &fs.PathError{Op: "seek", Path: f.Name(), Err: err}
	}
	return at / memory.SumUnit, true, nil
}

// dataOf is how much of a file lies in units that are no holes, in bytes.
func dataOf(f *os.File, member *File) (n int64, err error) {
	for unit := int64(0); ; unit++ {
		next, ok, err := nextData(f, unit)
		if err != nil || !ok {
			return n, err
		}
		unit = next
		n += int64(member.unitLen(unit))
	}
}

// readUnits has all units packed that hold anything but zeroes.
func (c *Contents) readUnits(ctx context.Context, files []*os.File, z *zstd.Encoder, pieces chan<- *piece) error {
	for i, f := range files {
		for unit := int64(0); ; unit++ {
			next, ok, err := nextData(f, unit)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			unit = next
			p := &piece{file: i, unit: unit, raw: make([]byte, c.Files[i].unitLen(unit)), done: make(chan struct{})}
			select {
			case pieces <- p: // as many as have room there are worked at
				go p.pack(f, z)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func (p *piece) pack(f *os.File, z *zstd.Encoder) {
	defer close(p.done)
	if _, p.err = f.ReadAt(p.raw, p.unit*memory.SumUnit); p.err != nil {
		p.err = fmt.Errorf("read %s: %w", f.Name(), p.err) // an end as well: the file was longer when it was opened
		return
	}
	if p.sum = memory.Sum(p.raw); p.sum == memory.SumZeroes(len(p.raw)) && isZero(p.raw) {
		return
	}
	p.packed = z.EncodeAll(p.raw, nil)
}

func isZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// writePieces writes the pieces, and the end.
func writePieces(w io.Writer, pieces <-chan *piece, all int64, said func(done, all int64)) error {
	var heads, count uint32
	put := func(file, unit, sum uint32, packed []byte) error {
		var b [pieceHead]byte
		for i, v := range []uint32{file, unit, sum, uint32(len(packed))} {
			binary.LittleEndian.PutUint32(b[4*i:], v)
		}
		if file != lastFile {
			heads = crc32.Update(heads, castagnoli, b[:])
			count++
		}
		if _, err := w.Write(b[:]); err != nil {
			return err
		}
		_, err := w.Write(packed)
		return err
	}
	var done int64
	for p := range pieces {
		<-p.done
		if p.err != nil {
			return p.err
		}
		if done += int64(len(p.raw)); said != nil {
			said(done, all)
		}
		if p.packed == nil {
			continue
		}
		if err := put(uint32(p.file), uint32(p.unit), p.sum, p.packed); err != nil {
			return err
		}
	}
	return put(lastFile, count, heads, nil)
}
