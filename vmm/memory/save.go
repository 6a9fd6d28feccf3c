package memory

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// SumUnit is how many bytes of a file each checksum of WriteTo is of.
const SumUnit = hugePage

// WriteTo makes f, which must be empty, hold all of RAM for Config.From, and returns how many bytes it took there: pages of zeroes are left out. sums are the CRC-32C of
// each SumUnit of the file. The guest must not run. f is not synced.
func (g *Guest) WriteTo(f *os.File) (stored int64, sums []uint32, err error) {
	if err := f.Truncate(int64(g.size)); err != nil {
		return 0, nil, fmt.Errorf("memory: %w", err)
	}
	sums = make([]uint32, (g.size+SumUnit-1)/SumUnit)
	var (
		next, total atomic.Int64
		once        sync.Once
		work        sync.WaitGroup
	)
	for range min(runtime.GOMAXPROCS(0), saveWorkers) {
		work.Go(func() {
			for at := next.Add(saveUnit) - saveUnit; at < int64(g.size); at = next.Add(saveUnit) - saveUnit {
				n, e := g.writeUnit(f, at, sums[at/SumUnit:])
				total.Add(n)
				if e != nil {
					next.Store(int64(g.size))
					once.Do(func() { err = e })
				}
			}
		})
	}
	work.Wait()
	return total.Load(), sums, err
}

const (
	savePage = 4096
	saveUnit = 4 << 20 // bytes that a worker takes at a time; what is written at once at most
	// saveWorkers is how many write at the same time at most: looking for zeroes costs as much as writing to the page cache.
	saveWorkers = 4
)

var zeroPage [savePage]byte

// Sum is the checksum that WriteTo takes of bytes of a file.
func Sum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// zeroSum is the checksum of a SumUnit of zeroes, which most of RAM may be.
var zeroSum = sync.OnceValue(func() uint32 { return Sum(make([]byte, SumUnit)) })

// SumZeroes is the checksum of n bytes of zeroes, up to SumUnit.
func SumZeroes(n int) uint32 {
	if n == SumUnit {
		return zeroSum()
	}
	return Sum(make([]byte, n))
}

// writeUnit writes what is not zero of the unit of RAM that lies at off in the file, and takes its checksums.
func (g *Guest) writeUnit(f *os.File, off int64, sums []uint32) (stored int64, err error) {
	untouched := g.hole(off)
	for _, r := range g.regions { // one behind the other in the file, as New lays them out, and cut at multiples of SumUnit
		from, to := max(off, r.FileOffset), min(off+saveUnit, r.FileOffset+int64(len(r.Host)))
		for at := from; at < to; at += SumUnit {
			p := r.Host[at-r.FileOffset : min(at+SumUnit, to)-r.FileOffset]
			n := int64(0)
			if !untouched {
				if n, err = writeData(f, p, at); err != nil {
					return stored, err
				}
			}
			sum := &sums[(at-off)/SumUnit]
			if stored += n; n > 0 {
				*sum = Sum(p)
			} else {
				*sum = SumZeroes(len(p))
			}
		}
	}
	return stored, nil
}

// writeData writes the pages of p that are not all zeroes to where they belong if p lies at off.
func writeData(f *os.File, p []byte, off int64) (stored int64, err error) {
	for at := 0; ; {
		start, end := data(p, at)
		if start == end {
			return stored, nil
		}
		if _, err := f.WriteAt(p[start:end], off+int64(start)); err != nil {
			return stored, fmt.Errorf("memory: save the guest's RAM: %w", err)
		}
		stored += int64(end - start)
		at = end
	}
}

// hole says that the guest has never touched the unit of RAM at off. To look at the pages of a memfd makes them.
func (g *Guest) hole(off int64) bool {
	if g.fd < 0 {
		return false
	}
	at, err := unix.Seek(g.fd, off, unix.SEEK_DATA)
	return err == unix.ENXIO || err == nil && at >= off+saveUnit
}

// data returns the next run of pages at or behind at that are not all zeroes; it is empty where there is none.
func data(p []byte, at int) (from, to int) {
	for at < len(p) && bytes.Equal(p[at:at+savePage], zeroPage[:]) {
		at += savePage
	}
	from = at
	for at < len(p) && !bytes.Equal(p[at:at+savePage], zeroPage[:]) {
		at += savePage
	}
	return from, at
}
