package state

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// PageSize is the unit of Pages, in bytes.
const PageSize = 4096

// Pages appends memory of whole pages: of those, the ones that hold anything but zeroes.
func (w *Writer) Pages(p []byte) {
	for at := 0; at < len(p); at += PageSize {
		if page := p[at : at+PageSize]; !isZero(page) {
			w.U32(uint32(at / PageSize))
			w.buf = append(w.buf, page...)
		}
	}
	w.U32(uint32(len(p) / PageSize)) // the end
}

var zeroPage [PageSize]byte

func isZero(page []byte) bool { return bytes.Equal(page, zeroPage[:]) }

// Pages fills p, which holds zeroes as that of a new device does, as Writer.Pages saw it. Pages of zeroes are not touched: the host has not made them yet.
func (r *Reader) Pages(p []byte) {
	end, made := uint32(len(p)/PageSize), uint32(0)
	for next := uint32(0); ; next++ {
		page := r.U32()
		if r.err != nil || page == end {
			return
		}
		if page < next || page > end {
			r.Fail("page %d of %d where %d was the first possible", page, end, next)
			return
		}
		if page >= made {
			made = page + r.run(page, end)
			// Without it each page is a fault, most of what a restore takes. It is only a help.
			_ = unix.Madvise(p[page*PageSize:made*PageSize], unix.MADV_POPULATE_WRITE)
		}
		copy(p[page*PageSize:], r.take(PageSize))
		next = page
	}
}

// run is how many pages follow one another, of which the next is page.
func (r *Reader) run(page, end uint32) (n uint32) {
	const entry = 4 + PageSize
	for n = 1; page+n < end; n++ {
		at := int(n)*entry - 4 // behind the page before
		if at+4 > len(r.buf) || binary.LittleEndian.Uint32(r.buf[at:]) != page+n {
			break
		}
	}
	return n
}
