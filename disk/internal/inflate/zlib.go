package inflate

import (
	"encoding/binary"
	"errors"
	"hash/adler32"
	"io"
)

// ErrChecksum: a zlib stream's content is not what its checksum says.
var ErrChecksum = errors.New("wrong checksum")

// DecodeZlib decodes the zlib stream at the start of src into dst, and returns how many bytes it has. Dst may have changed behind them.
func (d *Decoder) DecodeZlib(dst, src []byte) (int, error) {
	if len(src) < 2 {
		return 0, io.ErrUnexpectedEOF
	}
	const deflate, largestWindow, dictionary = 8, 7, 1 << 5
	if head := binary.BigEndian.Uint16(src); head>>8&15 != deflate || head>>12 > largestWindow || head&dictionary != 0 || head%31 != 0 {
		return 0, ErrInvalid
	}
	n, used, err := d.Decode(dst, src[2:])
	if err != nil {
		return n, err
	}
	sum := src[2+used:]
	switch {
	case len(sum) < 4:
		return n, io.ErrUnexpectedEOF
	case binary.BigEndian.Uint32(sum) != adler32.Checksum(dst[:n]):
		return n, ErrChecksum
	}
	return n, nil
}
