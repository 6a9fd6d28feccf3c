package memory

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// WriteTo makes f, which must be empty, hold all of RAM for Config.From, and returns how many bytes it took there: pages of zeroes are left out. The guest
// must not run. f is not synced.
func (g *Guest) WriteTo(f *os.File) (stored int64, err error) {
	if err := f.Truncate(int64(g.size)); err != nil {
		return 0, fmt.Errorf("memory: %w", err)
	}
	var (
		next, total atomic.Int64
		once        sync.Once
		work        sync.WaitGroup
	)
	for range min(runtime.GOMAXPROCS(0), saveWorkers) {
		work.Go(func() {
			for at := next.Add(saveUnit) - saveUnit; at < int64(g.size); at = next.Add(saveUnit) - saveUnit {
				n, e := g.writeUnit(f, at)
				total.Add(n)
				if e != nil {
					next.Store(int64(g.size))
					once.Do(func() { err = e })
				}
			}
		})
	}
	work.Wait()
	return total.Load(), err
}

const (
	savePage = 4096
	saveUnit = 4 << 20 // bytes that a worker takes at a time; what is written at once at most
	// saveWorkers is how many write at the same time at most: looking for zeroes costs as much as writing to the page cache.
	saveWorkers = 4
)

var zeroPage [savePage]byte

// writeUnit writes what is not zero of the unit of RAM that lies at off in the file.
func (g *Guest) writeUnit(f *os.File, off int64) (stored int64, err error) {
	if g.hole(off) {
		return 0, nil
	}
	for _, r := range g.regions { // one behind the other in the file, as New lays them out
		from, to := max(off, r.FileOffset), min(off+saveUnit, r.FileOffset+int64(len(r.Host)))
		if from >= to {
			continue
		}
		p := r.Host[from-r.FileOffset : to-r.FileOffset]
		for at := 0; ; {
			start, end := data(p, at)
			if start == end {
				break
			}
			if _, err := f.WriteAt(p[start:end], from+int64(start)); err != nil {
				return stored, fmt.Errorf("memory: save the guest's RAM: %w", err)
			}
			stored += int64(end - start)
			at = end
		}
	}
	return stored, nil
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
