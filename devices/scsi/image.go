package scsi

import (
	"fmt"
	"io"

	"github.com/sharevm/vmm/disk"
)

// readImage fills bufs, want bytes in all, from off.
func readImage(image disk.Image, vector disk.VectorImage, bufs [][]byte, want int, off int64) error {
	if vector != nil {
		n, err := vector.ReadvAt(bufs, off)
		return exact(n, want, err)
	}
	for _, p := range bufs {
		n, err := image.ReadAt(p, off)
		if err := exact(n, len(p), err); err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}

// writeImage stores bufs, want bytes in all, at off.
func writeImage(image disk.Image, vector disk.VectorImage, bufs [][]byte, want int, off int64) error {
	if vector != nil {
		n, err := vector.WritevAt(bufs, off)
		return exact(n, want, err)
	}
	for _, p := range bufs {
		n, err := image.WriteAt(p, off)
		if err := exact(n, len(p), err); err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}

// exact turns a transfer that fell short into an error, and forgives the io.EOF that io.ReaderAt allows at the very end.
func exact(n, want int, err error) error {
	if n == want && (err == nil || err == io.EOF) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("image moved %d of %d bytes: %w", n, want, err)
}
