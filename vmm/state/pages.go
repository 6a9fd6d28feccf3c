package state

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// PageSize is the unit of Pages, in bytes.
const PageSize = 4096

// Pages appends memory of whole pages: of those, the runs that hold anything but zeroes.
func (w *Writer) Pages(p []byte) {
	end := len(p) / PageSize
	for at := 0; at < end; {
		if isZero(p[at*PageSize:][:PageSize]) {
			at++
			continue
		}
		first := at
		for at < end && !isZero(p[at*PageSize:][:PageSize]) {
			at++
		}
		w.U32(uint32(first))
		w.U32(uint32(at - first))
		if run := p[first*PageSize : at*PageSize]; w.Aside != nil {
			w.Aside.write(run)
		} else {
			w.buf = append(w.buf, run...)
		}
	}
	w.U32(uint32(end))
}

var zeroPage [PageSize]byte

func isZero(page []byte) bool { return bytes.Equal(page, zeroPage[:]) }

// Pages fills p, which holds zeroes as that of a new device does, as Writer.Pages saw it. Pages of zeroes are not touched: the host has not made them yet.
func (r *Reader) Pages(p []byte) {
	end := uint64(len(p) / PageSize)
	for next := uint64(0); ; {
		first := uint64(r.U32())
		if r.err != nil || first == end {
			return
		}
		last := first + uint64(r.U32())
		if r.err == nil && (first < next || last <= first || last > end) {
			r.Fail("pages %d to %d of %d where %d was the first possible", first, last, end, next)
		}
		if r.err != nil {
			return
		}
		run := p[first*PageSize : last*PageSize]
		// Without it each page is a fault, most of what a restore takes. It is only a help.
		_ = unix.Madvise(run, unix.MADV_POPULATE_WRITE)
		if r.Aside != nil {
			if err := r.Aside.read(run); err != nil {
				r.Fail("%w", err)
			}
		} else {
			copy(run, r.take(len(run)))
		}
		next = last
	}
}
