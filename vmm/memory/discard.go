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
	if g.private {
		return discardPrivate(p)
	}
	if err := unix.Madvise(p, g.advice); err != nil {
		return fmt.Errorf("memory: give %d KiB of guest RAM back: %w", len(p)>>10, err)
	}
	return nil
}

// discardPrivate puts fresh pages in the place of those of a private copy. Each piece becomes a mapping of its own, of which a process may have some
// 65 000, so that only large ones are worth it.
func discardPrivate(p []byte) error {
	head := -address(p) & (hugePage - 1)
	if uintptr(len(p)) <= head {
		return nil
	}
	if p = p[head:]; len(p) < hugePage {
		return nil
	}
	p = p[:len(p)&^(hugePage-1)]
	if err := remap(p); err != nil {
		return fmt.Errorf("memory: give %d KiB of guest RAM back: %w", len(p)>>10, err)
	}
	_ = unix.Madvise(p, unix.MADV_DONTDUMP)
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
