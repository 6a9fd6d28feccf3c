package memory

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Discards says whether Discard gives memory back to the host. Reserved huge pages stay: returned to the pool they could be another
// process's when the guest wants them again, which would end this one.
func (g *Guest) Discards() bool { return g.advice != 0 }

// Discard gives the host's pages behind p back, where p is a slice of this RAM: it reads as zeroes afterwards, and takes memory
// again as it is written. Pages of which p holds only a part stay. Where Discards is false it does nothing.
//
// The guest and its devices may use the pages meanwhile: what they write may be lost, and nothing else.
func (g *Guest) Discard(p []byte) error {
	if !g.Discards() {
		return nil
	}
	if p = wholePages(p); len(p) == 0 {
		return nil
	}
	if err := unix.Madvise(p, g.advice); err != nil {
		return fmt.Errorf("memory: give %d KiB of guest RAM back: %w", len(p)>>10, err)
	}
	return nil
}

// wholePages cuts p to the host's pages that lie wholly inside it.
func wholePages(p []byte) []byte {
	page := os.Getpagesize()
	head := -address(p) & uintptr(page-1)
	if uintptr(len(p)) <= head {
		return nil
	}
	p = p[head:]
	return p[:len(p)&^(page-1)]
}
