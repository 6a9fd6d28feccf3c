package inflate

import (
	"encoding/binary"
	"errors"
	"io"
)

// Errors of a stream. One that ends too early gives [io.ErrUnexpectedEOF].
var (
	// ErrLong: the stream has more content than there is room for.
	ErrLong = errors.New("more data than expected")
	// ErrInvalid: the stream breaks the format's rules.
	ErrInvalid = errors.New("invalid compressed data")
)

// Decoder decodes streams, one at a time. The zero value is ready.
type Decoder struct {
	lit  [litRoom]entry
	dist [distRoom]entry
	// lengths are those of a block's codes, first of literals and lengths, then of distances; the last repeat may reach beyond them.
	lengths [maxLit + maxDist + 138]uint8
}

// stream is how far decoding has come.
type stream struct {
	src []byte
	in  int    // bytes of src that are in buf, or were
	buf uint64 // bits, the next one lowest; those from n on are the next of src, or 0
	n   uint
	dst []byte
	out int
}

// fill brings as many bits as there are, and at least 56 if src has them.
func (s *stream) fill() {
	if s.in+8 <= len(s.src) {
		s.buf |= binary.LittleEndian.Uint64(s.src[s.in:]) << (s.n & 63)
		s.in += int(63-s.n) >> 3
		s.n |= 56
		return
	}
	for s.n <= 56 && s.in < len(s.src) {
		s.buf |= uint64(s.src[s.in]) << s.n
		s.in++
		s.n += 8
	}
}

// take returns the next n bits, at most 16.
func (s *stream) take(n uint) (uint, error) {
	if s.n < n {
		if s.fill(); s.n < n {
			return 0, io.ErrUnexpectedEOF
		}
	}
	v := uint(s.buf & (1<<n - 1))
	s.buf >>= n
	s.n -= n
	return v, nil
}

// Decode decodes the DEFLATE stream at the start of src into dst. It returns how many bytes of dst it has filled, also with an error, and how
// many of src it has used. Other bytes of dst may have changed.
func (d *Decoder) Decode(dst, src []byte) (n, used int, err error) {
	s := stream{src: src, dst: dst}
	for last := uint(0); last == 0 && err == nil; {
		if last, err = s.take(1); err != nil {
			break
		}
		err = d.block(&s)
	}
	return s.out, s.in - int(s.n>>3), err
}

func (d *Decoder) block(s *stream) error {
	kind, err := s.take(2)
	if err != nil {
		return err
	}
	switch kind {
	case 0:
		return s.stored()
	case 1:
		return s.codes(&fixed.lit, &fixed.dist)
	case 2:
		if err := d.readCodes(s); err != nil {
			return err
		}
		return s.codes(&d.lit, &d.dist)
	}
	return ErrInvalid
}

// stored copies a block that is not compressed.
func (s *stream) stored() error {
	s.in -= int(s.n >> 3)
	s.buf, s.n = 0, 0
	if len(s.src)-s.in < 4 {
		s.in = len(s.src)
		return io.ErrUnexpectedEOF
	}
	size, check := binary.LittleEndian.Uint16(s.src[s.in:]), binary.LittleEndian.Uint16(s.src[s.in+2:])
	if size != ^check {
		return ErrInvalid
	}
	s.in += 4
	part := s.src[s.in:min(len(s.src), s.in+int(size))]
	n := copy(s.dst[s.out:], part)
	s.in, s.out = s.in+n, s.out+n
	switch {
	case n < len(part):
		return ErrLong
	case n < int(size):
		return io.ErrUnexpectedEOF
	}
	return nil
}

// order is that in which the lengths of the codes for code lengths come.
var order = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// lengthSymbols are the entries of code lengths and repeats.
var lengthSymbols = func() (out [19]entry) {
	for s := range out {
		out[s] = entry(s) << 16
	}
	return out
}()

// readCodes reads the codes that a block brings.
func (d *Decoder) readCodes(s *stream) error {
	counts, err := s.take(14)
	if err != nil {
		return err
	}
	lit, dist, lens := counts&31+257, counts>>5&31+1, counts>>10&15+4
	if lit > maxLit || dist > maxDist {
		return ErrInvalid
	}
	var lengths [19]uint8
	for _, k := range order[:lens] {
		v, err := s.take(3)
		if err != nil {
			return err
		}
		lengths[k] = uint8(v)
	}
	const first = 7 // is all of the longest
	var table [1 << first]entry
	if !build(table[:], first, lengths[:], lengthSymbols[:]) {
		return ErrInvalid
	}
	for k := uint(0); k < lit+dist; {
		if s.n < first {
			s.fill()
		}
		e := table[s.buf&(1<<first-1)]
		if e&special != 0 {
			return ErrInvalid
		}
		if s.n < e.total() {
			return io.ErrUnexpectedEOF
		}
		s.buf >>= e.total()
		s.n -= e.total()
		n, value, bits := uint(1), uint8(e.value()), uint(0)
		switch e.value() {
		case 16:
			if k == 0 {
				return ErrInvalid
			}
			n, value, bits = 3, d.lengths[k-1], 2
		case 17:
			n, value, bits = 3, 0, 3
		case 18:
			n, value, bits = 11, 0, 7
		}
		if bits > 0 {
			more, err := s.take(bits)
			if err != nil {
				return err
			}
			n += more
		}
		for range n {
			d.lengths[k] = value
			k++
		}
		if k > lit+dist {
			return ErrInvalid
		}
	}
	if d.lengths[256] == 0 || !build(d.lit[:], litBits, d.lengths[:lit], litSymbols[:]) || !build(d.dist[:], distBits, d.lengths[lit:lit+dist], distSymbols[:]) {
		return ErrInvalid
	}
	return nil
}

const (
	// inMargin is how much of src has to be left for the fast loop, which does not look, and outMargin of dst.
	inMargin  = 16
	outMargin = 3 + 258 + 8
)

// codes decodes a block's content.
func (s *stream) codes(lit *[litRoom]entry, dist *[distRoom]entry) error {
	for {
		if s.in+inMargin <= len(s.src) && s.out+outMargin <= len(s.dst) {
			if end, err := s.fast(lit, dist); end || err != nil {
				return err
			}
		}
		if end, err := s.step(lit, dist); end || err != nil {
			return err
		}
	}
}

// look returns the entry of the next code in a table, whose first look has so many bits, and takes the code's own bits.
func (s *stream) look(table []entry, first uint) (entry, error) {
	s.fill()
	e := table[s.buf&(1<<first-1)]
	if e&isSub != 0 {
		if s.n < first {
			return 0, io.ErrUnexpectedEOF
		}
		s.buf >>= first
		s.n -= first
		e = table[uint64(e.value())+s.buf&(1<<e.code()-1)]
	}
	if e&special != 0 && e&isEnd == 0 {
		if s.n < maxBits && s.in == len(s.src) {
			return 0, io.ErrUnexpectedEOF // what is missing may make it one
		}
		return 0, ErrInvalid
	}
	if s.n < e.code() {
		return 0, io.ErrUnexpectedEOF
	}
	s.buf >>= e.code()
	s.n -= e.code()
	return e, nil
}

// step decodes one literal or copy, looking at all limits.
func (s *stream) step(lit *[litRoom]entry, dist *[distRoom]entry) (end bool, err error) {
	e, err := s.look(lit[:], litBits)
	switch {
	case err != nil:
		return false, err
	case e&isEnd != 0:
		return true, nil
	case s.out == len(s.dst):
		return false, ErrLong
	case e&isLiteral != 0:
		s.dst[s.out] = byte(e >> 16)
		s.out++
		return false, nil
	}
	more, err := s.take(e.total() - e.code())
	if err != nil {
		return false, err
	}
	length := int(e.value()) + int(more)
	if e, err = s.look(dist[:], distBits); err != nil {
		return false, err
	}
	if more, err = s.take(e.total() - e.code()); err != nil {
		return false, err
	}
	distance := int(e.value()) + int(more)
	if distance > s.out {
		return false, ErrInvalid
	}
	from, to := s.out-distance, min(len(s.dst), s.out+length)
	length -= to - s.out
	for s.out < to { // each round doubles what there is to copy from
		s.out += copy(s.dst[s.out:to], s.dst[from:s.out])
	}
	if length > 0 {
		return false, ErrLong
	}
	return false, nil
}
