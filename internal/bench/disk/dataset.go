package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// filler makes the contents of a piece: noise, text, or pages that are half empty.
type filler struct {
	rng   *rand.ChaCha8
	piece int
}

func newFiller() *filler { return &filler{rng: rand.NewChaCha8([32]byte{1, 2, 3})} }

func (f *filler) fill(p []byte) {
	_, _ = f.rng.Read(p) // never fails
	switch f.piece % 3 {
	case 1:
		line := fmt.Appendf(nil, "%08d the quick brown fox jumps over the lazy dog, and the hypervisor looks on\n", f.piece)
		for at := 0; at < len(p); at += len(line) {
			// Eight bytes of each line stay noise: text repeats less than that.
			copy(p[min(len(p), at+8):min(len(p), at+len(line))], line[8:])
		}
	case 2:
		const page = 4 * kib
		for at := page / 2; at < len(p); at += page {
			clear(p[at:min(len(p), at+page/2)])
		}
	}
	f.piece++
}

// extent is a stretch of a disk that holds data.
type extent struct{ off, length int64 }

// makeDisk writes a raw disk of size bytes with data in the extents.
func makeDisk(path string, size int64, extents []extent) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := file.Truncate(size); err != nil {
		return err
	}
	f, buf := newFiller(), make([]byte, mib)
	for _, e := range extents {
		for at := int64(0); at < e.length; at += mib {
			p := buf[:min(mib, e.length-at)]
			f.fill(p)
			if _, err := file.WriteAt(p, e.off+at); err != nil {
				return err
			}
		}
	}
	return file.Sync()
}

// mixed is a disk of which every other 4 MiB hold data.
func mixed(size int64) (list []extent) {
	for at := int64(0); at < size; at += 8 * mib {
		list = append(list, extent{at, 4 * mib})
	}
	return list
}

// scattered is n extents of 4 to 128 KiB, evenly spread.
func scattered(size int64, n int) (list []extent) {
	rng := rand.New(rand.NewPCG(1, 2))
	step := size / int64(n) &^ (4*kib - 1)
	for k := range int64(n) {
		list = append(list, extent{k * step, 4 * kib * (1 + rng.Int64N(32))})
	}
	return list
}

// dense is a disk full of data.
func dense(size int64) []extent { return []extent{{0, size}} }
