// Package relocate copies blocks from one place in a file to another.
package relocate

import (
	"bytes"
	"io"
	"sync"

	"github.com/sharevm/vmm/disk"
)

// step bounds the memory that a copy takes, in bytes.
const step = 256 << 10

var (
	buffers = sync.Pool{New: func() any { return new([step]byte) }}
	zeroes  [step]byte
)

// Block copies [from, from+n) of file to [to, to+n). The ranges must not overlap, and the file must reach to the end of the second; where it ends
// inside the first, that goes on in zeroes. Zeroes become holes if the host has them.
func Block(file disk.File, from, to, n int64) error {
	buf := buffers.Get().(*[step]byte)
	defer buffers.Put(buf)
	for n > 0 {
		p := buf[:min(step, n)]
		m, err := file.ReadAt(p, from)
		if err != nil && err != io.EOF {
			return err
		}
		clear(p[m:])
		if bytes.Equal(p, zeroes[:len(p)]) {
			err = file.Zero(to, int64(len(p)), true)
		} else {
			_, err = file.WriteAt(p, to)
		}
		if err != nil {
			return err
		}
		from, to, n = from+int64(len(p)), to+int64(len(p)), n-int64(len(p))
	}
	return nil
}
