package debian

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errLZ4 = errors.New("broken LZ4 data")

// unlz4 unpacks the blocks of an LZ4 legacy frame, the one that the kernel's build writes (LZ4 frame format 1.6.4, "Legacy frame"), to
// at most limit bytes.
func unlz4(b []byte, limit int) ([]byte, error) {
	var out []byte
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, fmt.Errorf("%w: half a block size", errLZ4)
		}
		n := binary.LittleEndian.Uint32(b)
		b = b[4:]
		if uint64(n) > uint64(len(b)) {
			return nil, fmt.Errorf("%w: a block of %d bytes where %d are left", errLZ4, n, len(b))
		}
		var err error
		if out, err = lz4Block(out, b[:n], limit); err != nil {
			return nil, err
		}
		b = b[n:]
	}
	return out, nil
}

// lz4Block appends one unpacked block (LZ4 block format) to out. Matches reach back within the block only.
func lz4Block(out, b []byte, limit int) ([]byte, error) {
	base := len(out)
	for len(b) > 0 {
		token := b[0]
		literals, rest, err := lz4Length(int(token>>4), b[1:])
		if err != nil {
			return nil, err
		}
		if literals > len(rest) || literals > limit-len(out) {
			return nil, fmt.Errorf("%w: %d literals where %d bytes are left", errLZ4, literals, len(rest))
		}
		out = append(out, rest[:literals]...)
		if b = rest[literals:]; len(b) == 0 {
			return out, nil // the last sequence has no match
		}
		if len(b) < 2 {
			return nil, fmt.Errorf("%w: half an offset", errLZ4)
		}
		offset := int(binary.LittleEndian.Uint16(b))
		match, rest, err := lz4Length(int(token&15), b[2:])
		if err != nil {
			return nil, err
		}
		match += 4
		if offset == 0 || offset > len(out)-base || match > limit-len(out) {
			return nil, fmt.Errorf("%w: a match of %d bytes %d back after %d", errLZ4, match, offset, len(out)-base)
		}
		// A match may overlap what it makes: each round doubles what can be copied.
		for from := len(out) - offset; match > 0; {
			n := min(match, len(out)-from)
			out = append(out, out[from:from+n]...)
			match -= n
		}
		b = rest
	}
	return out, nil
}

// lz4Length finishes a length whose first four bits were in the token.
func lz4Length(n int, b []byte) (int, []byte, error) {
	if n < 15 {
		return n, b, nil
	}
	for i, v := range b {
		n += int(v)
		if v != 255 {
			return n, b[i+1:], nil
		}
	}
	return 0, nil, fmt.Errorf("%w: a length without an end", errLZ4)
}
