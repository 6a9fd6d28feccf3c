package tools

import (
	"bytes"
	"context"
	"fmt"

	"github.com/sharevm/vmm/disk"
)

// Progress is told how many of total bytes of a disk are done with, holes included, from one goroutine at a time. It may be nil.
type Progress func(done, total int64)

func (p Progress) report(done, total int64) {
	if p != nil {
		p(done, total)
	}
}

const (
	// finestHole is the shortest run of zeroes that becomes a hole: a page, which is what file systems allocate.
	finestHole = 4 << 10
	// coarseHole is for formats with larger blocks. A hole inside a block saves nothing in the table, only in the host's file.
	coarseHole = 64 << 10
)

// granularity is what runs of data in a disk with such blocks are rounded to, a divisor of pieceSize.
func granularity(blockSize int64) int64 {
	switch {
	case blockSize > coarseHole:
		return coarseHole
	case blockSize < finestHole || pieceSize%blockSize != 0:
		return finestHole
	}
	return blockSize
}

// Copy makes dst, which must read as zeroes and be at least as large, hold what src holds, and returns how many bytes it had to write.
// Holes and zeroes are left out. It does not flush dst.
func Copy(ctx context.Context, dst, src disk.Image, progress Progress) (written int64, err error) {
	size := src.Size()
	if dst.Size() < size {
		return 0, fmt.Errorf("%s: %w: it has %d bytes and %s has %d", dst.Info().Path, disk.ErrOutOfRange, dst.Size(), src.Info().Path, size)
	}
	align := granularity(dst.Info().BlockSize)
	progress.report(0, size)
	err = pipeline{
		buffers: 1,
		produce: func(emit func(off, length int64) error) error { return stored(ctx, src, align, emit) },
		work: func(c *piece) error {
			if _, err := src.ReadAt(c.buf, c.off); err != nil {
				return failed("read", src.Info().Path, err)
			}
			c.runs = appendRuns(c.runs, c.buf, int(align))
			return nil
		},
		consume: func(c *piece) error {
			for _, r := range c.runs {
				if _, err := dst.WriteAt(c.buf[r.from:r.to], c.off+int64(r.from)); err != nil {
					return failed("write", dst.Info().Path, err)
				}
				written += int64(r.to - r.from)
			}
			progress.report(c.off+int64(len(c.buf)), size)
			return nil
		},
	}.run(ctx)
	if err == nil {
		progress.report(size, size)
	}
	return written, err
}

// appendRuns appends the runs of blocks of p that are not all zeroes.
func appendRuns(runs []run, p []byte, block int) []run {
	for at := 0; at < len(p); at += block {
		end := min(at+block, len(p))
		if isZero(p[at:end]) {
			continue
		}
		if n := len(runs); n > 0 && runs[n-1].to == at {
			runs[n-1].to = end
		} else {
			runs = append(runs, run{at, end})
		}
	}
	return runs
}

var zeroes [finestHole]byte

func isZero(p []byte) bool {
	for len(p) > 0 {
		n := min(len(p), len(zeroes))
		if !bytes.Equal(p[:n], zeroes[:n]) {
			return false
		}
		p = p[n:]
	}
	return true
}
