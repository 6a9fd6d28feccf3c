package vmlinux

import (
	"encoding/binary"
	"errors"
	"io"
)

// lz4Magic begins LZ4's legacy frame ("LZ4 Frame Format Description", section "Legacy frame"), which the kernel's build uses.
const lz4Magic = "\x02\x21\x4c\x18"

// lz4Block is how much one block of a legacy frame unpacks to at most, in bytes.
const lz4Block = 8 << 20

var errLZ4 = errors.New("damaged LZ4 block")

// lz4Reader unpacks a legacy frame block by block.
type lz4Reader struct {
	r       io.Reader
	packed  []byte
	block   []byte // unpacked
	pending []byte // rest of block that has not been read
	err     error
}

func newLZ4Reader(r io.Reader) *lz4Reader { return &lz4Reader{r: r} }

// Read implements io.Reader.
func (z *lz4Reader) Read(p []byte) (int, error) {
	for len(z.pending) == 0 {
		if z.err != nil {
			return 0, z.err
		}
		z.err = z.next()
	}
	n := copy(p, z.pending)
	z.pending = z.pending[n:]
	return n, nil
}

// next unpacks the next block into pending.
func (z *lz4Reader) next() error {
	var size [4]byte
	for {
		if _, err := io.ReadFull(z.r, size[:]); err != nil {
			return err // io.EOF here is the end of the frame
		}
		if string(size[:]) != lz4Magic { // frames may follow one another
			break
		}
	}
	n := int(binary.LittleEndian.Uint32(size[:]))
	if n == 0 || n > lz4Block+lz4Block/255+16 {
		return errLZ4
	}
	if cap(z.packed) < n {
		z.packed = make([]byte, n)
	}
	if z.block == nil {
		z.block = make([]byte, lz4Block)
	}
	z.packed = z.packed[:n]
	if _, err := io.ReadFull(z.r, z.packed); err != nil {
		return io.ErrUnexpectedEOF
	}
	m, err := lz4Decode(z.block, z.packed)
	z.pending = z.block[:m]
	return err
}

// lz4Decode unpacks one block ("LZ4 Block Format Description") into dst and returns how many bytes it gave.
func lz4Decode(dst, src []byte) (int, error) {
	const minMatch = 4
	d, s := 0, 0
	// extended adds the bytes that continue a length of 15.
	extended := func(n int) (int, bool) {
		for {
			if s >= len(src) || n > len(dst) {
				return 0, false
			}
			b := src[s]
			s++
			n += int(b)
			if b != 255 {
				return n, true
			}
		}
	}
	for s < len(src) {
		token := src[s]
		s++
		n, ok := int(token>>4), true
		if n == 15 {
			if n, ok = extended(n); !ok {
				return 0, errLZ4
			}
		}
		if n > len(src)-s || n > len(dst)-d {
			return 0, errLZ4
		}
		d += copy(dst[d:], src[s:s+n])
		s += n
		if s == len(src) {
			return d, nil // the last sequence has literals only
		}
		if len(src)-s < 2 {
			return 0, errLZ4
		}
		offset := int(binary.LittleEndian.Uint16(src[s:]))
		s += 2
		n = int(token & 15)
		if n == 15 {
			if n, ok = extended(n); !ok {
				return 0, errLZ4
			}
		}
		n += minMatch
		if offset == 0 || offset > d || n > len(dst)-d {
			return 0, errLZ4
		}
		// A match may overlap what it produces: each copy at most doubles the run.
		for from, end := d-offset, d+n; d < end; {
			d += copy(dst[d:end], dst[from:d])
		}
	}
	return 0, errLZ4
}
