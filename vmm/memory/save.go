package memory

import (
	"bytes"
	"fmt"
	"os"
)

// WriteTo makes f, which must be empty, hold all of RAM for Config.From, and returns how many bytes it took there: pages of zeroes are left out. The guest
// must not run. f is not synced.
func (g *Guest) WriteTo(f *os.File) (stored int64, err error) {
	if err := f.Truncate(int64(g.size)); err != nil {
		return 0, fmt.Errorf("memory: %w", err)
	}
	off := int64(0) // regions lie one behind the other in the file, as New lays them out
	for _, r := range g.regions {
		for at := 0; at < len(r.Host); {
			from, to := data(r.Host, at)
			if from == to {
				break
			}
			if _, err := f.WriteAt(r.Host[from:to], off+int64(from)); err != nil {
				return stored, fmt.Errorf("memory: save the guest's RAM: %w", err)
			}
			stored += int64(to - from)
			at = to
		}
		off += int64(len(r.Host))
	}
	return stored, nil
}

const (
	savePage = 4096
	saveMost = 4 << 20 // bytes that are written at a time
)

var zeroPage [savePage]byte

// data returns the next run of pages at or behind at that are not all zeroes; it is empty where there is none.
func data(p []byte, at int) (from, to int) {
	for at < len(p) && bytes.Equal(p[at:at+savePage], zeroPage[:]) {
		at += savePage
	}
	from = at
	for at < len(p) && at-from < saveMost && !bytes.Equal(p[at:at+savePage], zeroPage[:]) {
		at += savePage
	}
	return from, at
}
