package memory

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Extent is a run of pages of RAM, in the order in which they lie in the file behind it.
type Extent struct {
	First, Pages uint32
	Written      bool // they are no longer the file's
}

// Pagemap opens what Resident reads, for a process that will not reach it later.
func Pagemap() (*os.File, error) { return os.Open("/proc/self/pagemap") }

// Resident returns which pages of RAM this process has come to use, ascending, as its page tables tell (Linux, admin-guide/mm/pagemap).
func (g *Guest) Resident(pagemap *os.File) (all []Extent, err error) {
	const entry, present, swapped, ofFile = 8, 1 << 63, 1 << 62, 1 << 61
	buf := make([]byte, 64<<10)
	for _, r := range g.regions {
		before := len(all) // no extent goes on in another region
		base, pages := int64(address(r.Host)/savePage), int64(len(r.Host)/savePage)
		for at := int64(0); at < pages; {
			p := buf[:min(int64(len(buf)), (pages-at)*entry)]
			if _, err := pagemap.ReadAt(p, (base+at)*entry); err != nil {
				return nil, fmt.Errorf("memory: which pages are in use: %w", err)
			}
			for ; len(p) > 0; p, at = p[entry:], at+1 {
				v := binary.LittleEndian.Uint64(p)
				if v&(present|swapped) == 0 {
					continue
				}
				page, written := uint32(r.FileOffset/savePage+at), v&ofFile == 0
				if n := len(all); n > before && all[n-1].First+all[n-1].Pages == page && all[n-1].Written == written {
					all[n-1].Pages++
				} else {
					all = append(all, Extent{page, 1, written})
				}
			}
		}
	}
	return all, nil
}

// faultAround is how many bytes the kernel maps of a file around a page that is read, as long as they lie in the page cache (its fault_around_bytes, which only root sees).
const faultAround = 64 << 10

// Prefetch reads and maps pages of RAM that the guest is going to need, and leaves out what lies outside of it. Those that are written to get a copy of their own, and before the others are
// mapped: the guest would fault for it three times, and a copy that is made of a page that is mapped already holds up the faults of all processors. It is only a help: nothing waits for it,
// and it ends early where stop is closed. It maps nothing before ready is closed: what has to be done until then takes the processor.
func (g *Guest) Prefetch(all []Extent, ready, stop <-chan struct{}) {
	// First the disk works on everything at once.
	for _, e := range g.joined(all) {
		if !g.advise(e, unix.MADV_WILLNEED, stop) {
			return
		}
	}
	select {
	case <-ready:
	case <-stop:
		return
	}
	for _, e := range all {
		if e.Written && !g.advise(e, unix.MADV_POPULATE_WRITE, stop) {
			return
		}
	}
	mapped := ^uintptr(0)
	for _, e := range all {
		if !e.Written && !g.populate(e, &mapped, stop) {
			return
		}
	}
}

// joinGap is how many pages may lie between two extents that are read from the disk as one: to read a few more costs it less than to be asked again.
const joinGap = 4

// joined puts extents that lie near each other together, those of a region at least.
func (g *Guest) joined(all []Extent) (runs []Extent) {
	for _, e := range all {
		if n := len(runs); n > 0 {
			last := &runs[n-1]
			pages := int64(e.First) + int64(e.Pages) - int64(last.First)
			gap := pages - int64(last.Pages) - int64(e.Pages)
			if gap >= 0 && gap <= joinGap && int64(len(g.extent(Extent{First: last.First, Pages: uint32(pages)}))) == pages*savePage {
				last.Pages = uint32(pages)
				continue
			}
		}
		runs = append(runs, e)
	}
	return runs
}

// populate maps an extent that is read, by one page of each part that the kernel maps at once; mapped is the last of these parts, which has that behind it. It returns false where
// there is no sense in going on.
func (g *Guest) populate(e Extent, mapped *uintptr, stop <-chan struct{}) bool {
	for p := g.extent(e); len(p) > 0; p = p[min(uintptr(len(p)), faultAround-address(p)%faultAround):] {
		part := address(p) / faultAround
		if part == *mapped {
			continue
		}
		*mapped = part
		select {
		case <-stop:
			return false
		default:
		}
		if unix.Madvise(p[:savePage], unix.MADV_POPULATE_READ) != nil {
			return false // an older kernel
		}
	}
	return true
}

// advise gives the kernel an advice on an extent. It returns false where there is no sense in going on.
func (g *Guest) advise(e Extent, advice int, stop <-chan struct{}) bool {
	for p := g.extent(e); len(p) > 0; {
		select {
		case <-stop:
			return false
		default:
		}
		n := min(len(p), hugePage) // at a time: changes to the address space wait meanwhile
		if unix.Madvise(p[:n], advice) != nil {
			return false // an older kernel
		}
		p = p[n:]
	}
	return true
}

// extent is the part of e that lies in one region, or nothing.
func (g *Guest) extent(e Extent) []byte {
	first, end := int64(e.First)*savePage, (int64(e.First)+int64(e.Pages))*savePage
	for _, r := range g.regions {
		if from, to := max(first, r.FileOffset), min(end, r.FileOffset+int64(len(r.Host))); from < to {
			return r.Host[from-r.FileOffset : to-r.FileOffset]
		}
	}
	return nil
}
