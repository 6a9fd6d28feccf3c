package state

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

func isZero(p []byte) bool {
	for _, v := range p {
		if v != 0 {
			return false
		}
	}
	return true
}

// Pages fills p as Writer.Pages saw it.
func (r *Reader) Pages(p []byte) {
	clear(p)
	end := uint32(len(p) / PageSize)
	for next := uint32(0); ; next++ {
		page := r.U32()
		if r.err != nil || page == end {
			return
		}
		if page < next || page > end {
			r.Fail("page %d of %d where %d was the first possible", page, end, next)
			return
		}
		copy(p[page*PageSize:], r.take(PageSize))
		next = page
	}
}
