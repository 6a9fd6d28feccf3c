package parcel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"runtime"

	"github.com/klauspost/compress/zstd"

	"github.com/sharevm/vmm/machine/snapshot"
	"github.com/sharevm/vmm/vmm/memory"
)

// maxPacked is more than a unit takes that cannot be made smaller, in bytes.
const maxPacked = memory.SumUnit + memory.SumUnit/8

// hole is what of zeroes is left out of a file, in bytes: a page.
const hole = 4096

// Unpack writes what comes next in r into files, which are empty and known by their names. said hears how many bytes of how many are done, at most. Nothing may come after a parcel's end.
// Files are not synced.
func (c *Contents) Unpack(ctx context.Context, r io.Reader, files map[string]*os.File, said func(done, all int64)) error {
	for i := range c.Files {
		f := &c.Files[i]
		if err := files[f.Name].Truncate(f.Size); err != nil {
			return err
		}
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithDecoderMaxMemory(memory.SumUnit))
	if err != nil {
		return err
	}
	defer z.Close()
	pieces := make(chan *piece, 2*runtime.GOMAXPROCS(0)) // in order
	read := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(pieces)
		read <- c.readPieces(ctx, r, pieces, func(p *piece) { p.unpack(files[c.Files[p.file].Name], z) })
	}()
	var done int64
	for p := range pieces {
		<-p.done
		if p.err != nil && err == nil {
			err = fmt.Errorf("%s: %w", c.Files[p.file].Name, p.err)
			cancel()
		}
		if done += int64(len(p.raw)); said != nil && err == nil {
			said(done, c.Room())
		}
	}
	if e := <-read; err == nil {
		err = e
	}
	return err
}

// readPieces reads pieces to the parcel's end, and has each of them worked at.
func (c *Contents) readPieces(ctx context.Context, r io.Reader, pieces chan<- *piece, work func(*piece)) error {
	var heads, count uint32
	room := make([]int64, len(c.Files))
	for i := range room {
		room[i] = c.Files[i].Data
	}
	file, next := 0, int64(0) // the first that may come
	for {
		var head [pieceHead]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return cut(err)
		}
		word := func(i int) uint32 { return binary.LittleEndian.Uint32(head[4*i:]) }
		if word(0) == lastFile {
			if word(1) != count || word(2) != heads || word(3) != 0 {
				return fmt.Errorf("%w: its end does not fit its pieces", snapshot.ErrCorrupt)
			}
			if n, err := io.ReadFull(r, head[:1]); n > 0 || !errors.Is(err, io.EOF) {
				return fmt.Errorf("%w: something comes after its end", snapshot.ErrCorrupt)
			}
			return nil
		}
		heads = crc32.Update(heads, castagnoli, head[:])
		count++
		p := &piece{unit: int64(word(1)), sum: word(2), done: make(chan struct{})}
		if word(0) >= uint32(len(c.Files)) || word(3) > maxPacked {
			return fmt.Errorf("%w: a piece of %d bytes of file %d of %d", snapshot.ErrCorrupt, word(3), word(0), len(c.Files))
		}
		if p.file = int(word(0)); p.file > file {
			file, next = p.file, 0
		}
		size := c.Files[p.file].unitLen(p.unit)
		if p.file < file || p.unit < next || size == 0 {
			return fmt.Errorf("%w: piece %d of %s is not its next, or beyond its end", snapshot.ErrCorrupt, p.unit, c.Files[p.file].Name)
		}
		next = p.unit + 1
		if room[p.file] -= int64(size); room[p.file] < 0 {
			return fmt.Errorf("%w: %s holds more than its list says", snapshot.ErrCorrupt, c.Files[p.file].Name)
		}
		p.raw, p.packed = make([]byte, size), make([]byte, word(3))
		if _, err := io.ReadFull(r, p.packed); err != nil {
			return cut(err)
		}
		select {
		case pieces <- p: // as many as have room there are worked at
			go work(p)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unpack writes the unit into its file, but for pages of zeroes.
func (p *piece) unpack(f *os.File, z *zstd.Decoder) {
	defer close(p.done)
	raw, err := z.DecodeAll(p.packed, p.raw[:0])
	if err != nil || len(raw) != len(p.raw) || memory.Sum(raw) != p.sum {
		p.err = fmt.Errorf("%w: piece %d is not what was packed", snapshot.ErrCorrupt, p.unit)
		return
	}
	p.packed = nil
	for at := 0; at < len(raw); {
		from := at
		for at < len(raw) && !isZero(raw[at:min(at+hole, len(raw))]) {
			at = min(at+hole, len(raw))
		}
		if at > from {
			if _, p.err = f.WriteAt(raw[from:at], p.unit*memory.SumUnit+int64(from)); p.err != nil {
				return
			}
		}
		at += hole
	}
}
