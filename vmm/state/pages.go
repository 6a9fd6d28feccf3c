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
	r.runs(p, func(run []byte) error {
		populate(run)
		if r.Aside != nil {
			return r.Aside.read(run)
		}
		copy(run, r.take(len(run)))
		return nil
	})
}

// PagesLater is Pages for memory that can wait, which may be most of what a restore takes: where it lies aside it is filled beside what is done next, and then filled is called
// from there, with what went wrong. Elsewhere it is called before PagesLater returns. It is not called where the Reader has failed.
func (r *Reader) PagesLater(p []byte, filled func(error)) {
	if r.Aside == nil {
		if r.Pages(p); r.err == nil {
			filled(nil)
		}
		return
	}
	type piece struct {
		to   []byte
		from int64
	}
	var all []piece
	r.runs(p, func(run []byte) error {
		from, err := r.Aside.skip(len(run))
		all = append(all, piece{run, from})
		return err
	})
	if r.err != nil {
		return
	}
	a := r.Aside
	a.work.Go(func() {
		var err error
		for _, piece := range all {
			populate(piece.to)
			if err = a.readAt(piece.to, piece.from); err != nil {
				break
			}
		}
		filled(err)
	})
}

// populate has the host make pages that are about to be written to. Without it each page is a fault. It is only a help.
func populate(p []byte) { _ = unix.Madvise(p, unix.MADV_POPULATE_WRITE) }

// runs calls fill for each run of p that is not zero, until it errs.
func (r *Reader) runs(p []byte, fill func(run []byte) error) {
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
		if err := fill(p[first*PageSize : last*PageSize]); err != nil {
			r.Fail("%w", err)
		}
		next = last
	}
}
