package disk

import (
	"fmt"
	"io"
)

// ReadVector fills bufs, one after the other, from off: straight from the file where img is a [VectorImage]. It is all or an error.
func ReadVector(img Image, bufs [][]byte, off int64) error {
	if v, ok := img.(VectorImage); ok {
		n, err := v.ReadvAt(bufs, off)
		return whole(n, bufs, err)
	}
	for i, p := range bufs {
		n, err := img.ReadAt(p, off)
		if err := whole(n, bufs[i:i+1], err); err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}

// WriteVector stores bufs, one after the other, at off: straight to the file where img is a [VectorImage]. It is all or an error; after an
// error any part may have been written.
func WriteVector(img Image, bufs [][]byte, off int64) error {
	if v, ok := img.(VectorImage); ok {
		n, err := v.WritevAt(bufs, off)
		return whole(n, bufs, err)
	}
	for i, p := range bufs {
		n, err := img.WriteAt(p, off)
		if err := whole(n, bufs[i:i+1], err); err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}

// whole turns a transfer that fell short into an error, and forgives the io.EOF that io.ReaderAt allows at the very end.
func whole(n int, bufs [][]byte, err error) error {
	want := 0
	for _, p := range bufs {
		want += len(p)
	}
	if n == want && (err == nil || err == io.EOF) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("image moved %d of %d bytes: %w", n, want, err)
}
