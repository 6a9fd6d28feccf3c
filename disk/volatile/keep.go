package volatile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/space"
)

// What was written can be kept in a file, for a snapshot of a running machine. There each block lies at its own offset, and behind the disk's end, from
// a multiple of 4 KiB on, stand the runs of blocks that there are (first block and number, 8 bytes each, ascending), then a trailer:
// magic, the disk's size in bytes, the number of runs, a CRC-32C of all that from the runs on, 4 bytes of zeroes.
const (
	keptMagic   = "vmmvolat"
	trailerSize = 32
	runSize     = 16
	maxRuns     = 16 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrCorrupt is wrapped where a file is not what SaveTo wrote.
var ErrCorrupt = errors.New("not a whole file of what a machine wrote")

// tableAt is where the runs begin.
func tableAt(size int64) int64 { return (size + blockSize - 1) &^ (blockSize - 1) }

// SaveTo writes everything that was written to the image, also before an Open of what was kept, to f, which must be empty. Nobody writes to the image
// meanwhile. f is not synced.
func (i *Image) SaveTo(f *os.File) error {
	o := i.overlay
	buf := make([]byte, regionSize)
	var table []byte
	runs := uint64(0)
	err := o.runs(func(first, n int64) error {
		table = binary.LittleEndian.AppendUint64(table, uint64(first))
		table = binary.LittleEndian.AppendUint64(table, uint64(n))
		if runs++; runs > maxRuns {
			return fmt.Errorf("%s: what was written is in more than %d places", i.Info().Path, maxRuns)
		}
		for off, end := first<<blockShift, min((first+n)<<blockShift, o.size); off < end; {
			p := buf[:min(int64(len(buf)), end-off)]
			if _, err := i.ReadAt(p, off); err != nil {
				return err
			}
			if _, err := f.WriteAt(p, off); err != nil {
				return err
			}
			off += int64(len(p))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep what was written to %s: %w", i.Info().Path, err)
	}
	table = append(table, keptMagic...)
	table = binary.LittleEndian.AppendUint64(table, uint64(o.size))
	table = binary.LittleEndian.AppendUint64(table, runs)
	table = binary.LittleEndian.AppendUint64(table, uint64(crc32.Checksum(table, castagnoli)))
	if _, err := f.WriteAt(table, tableAt(o.size)); err != nil {
		return fmt.Errorf("keep what was written to %s: %w", i.Info().Path, err)
	}
	return nil
}

// runs calls yield for the runs of blocks that the overlay, or what was kept below it, holds.
func (o *overlay) runs(yield func(first, n int64) error) error {
	below, _ := o.base.(*Image)
	blocks := (o.size + blockSize - 1) >> blockShift
	has := func(b int64) bool { return o.bits.get(b) || below != nil && below.overlay.bits.get(b) }
	for b := int64(0); b < blocks; b++ {
		if b%chunkBits == 0 && o.bits.empty(b) && (below == nil || below.overlay.bits.empty(b)) {
			b += chunkBits - 1
			continue
		}
		if !has(b) {
			continue
		}
		first := b
		for b++; b < blocks && has(b); b++ {
		}
		if err := yield(first, b-first); err != nil {
			return err
		}
	}
	return nil
}

// Open returns an image for reading of base with what SaveTo kept in the file at path, which is no link out of its folder. Close closes base too.
func Open(base disk.Image, path string) (_ *Image, err error) {
	file, err := disk.HostFiles{}.Open(filepath.Base(path), disk.FileOptions{Shared: true, Folder: filepath.Dir(path)})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	o := &overlay{base: base, top: file, size: base.Size(), bits: newBitmap((base.Size() + blockSize - 1) >> blockShift)}
	if err := o.load(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Image{Front: space.NewFront(o, o.size, true, space.Hooks{End: o.close}), base: base, overlay: o, kept: true}, nil
}

// load reads the runs.
func (o *overlay) load() error {
	length, err := o.top.Size()
	if err != nil {
		return err
	}
	at := tableAt(o.size)
	n := length - at - trailerSize
	if n < 0 || n%runSize != 0 || n/runSize > maxRuns {
		return fmt.Errorf("%w: a length of %d bytes, for a disk of %d", ErrCorrupt, length, o.size)
	}
	table := make([]byte, n+trailerSize)
	if _, err := o.top.ReadAt(table, at); err != nil {
		return err
	}
	le, trailer := binary.LittleEndian, table[n:]
	switch {
	case string(trailer[:8]) != keptMagic:
		return fmt.Errorf("%w: there is no trailer", ErrCorrupt)
	case le.Uint64(trailer[24:]) != uint64(crc32.Checksum(table[:n+24], castagnoli)):
		return fmt.Errorf("%w: the checksum is wrong", ErrCorrupt)
	case le.Uint64(trailer[8:]) != uint64(o.size) || le.Uint64(trailer[16:]) != uint64(n/runSize):
		return fmt.Errorf("%w: it is of another disk", ErrCorrupt)
	}
	blocks, next := uint64(o.size+blockSize-1)>>blockShift, uint64(0)
	for ; n > 0; n -= runSize {
		first, count := le.Uint64(table), le.Uint64(table[8:])
		if first < next || count == 0 || count > blocks || first > blocks-count {
			return fmt.Errorf("%w: blocks %d+%d of %d", ErrCorrupt, first, count, blocks)
		}
		for b := first; b < first+count; b++ {
			o.bits.set(int64(b))
		}
		next = first + count
		table = table[runSize:]
	}
	return nil
}
