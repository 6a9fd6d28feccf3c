package vmlinux

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"github.com/sharevm/vmm/boot/linux"
	"github.com/sharevm/vmm/boot/payload"
	"github.com/sharevm/vmm/boot/pvh"
)

// Bounds on what a payload may ask for, in bytes.
const (
	maxSize   = 1 << 30   // unpacked kernel
	maxWindow = 128 << 20 // dictionary of XZ and zstd: what the kernel's build uses at most
)

const (
	sizeField  = 4 // the payload ends with the unpacked size
	bufferSize = 256 << 10
)

type format struct {
	magic string
	open  func(r io.Reader) (io.ReadCloser, error)
}

var formats = []format{
	{"\x1f\x8b", func(r io.Reader) (io.ReadCloser, error) {
		z, err := gzip.NewReader(r)
		if err == nil {
			z.Multistream(false)
		}
		return z, err
	}},
	{"BZh", func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }},
	{"\xfd7zXZ\x00", func(r io.Reader) (io.ReadCloser, error) {
		z, err := xz.NewReader(r, maxWindow)
		if err != nil {
			return nil, err
		}
		z.Multistream(false)
		return io.NopCloser(z), nil
	}},
	{"\x28\xb5\x2f\xfd", func(r io.Reader) (io.ReadCloser, error) {
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}},
	{lz4Magic, func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(newLZ4Reader(r)), nil }},
}

// Extract writes the ELF kernel inside bzImage to w and returns its size in bytes. What was written is worthless when
// it returns an error. It needs memory in the order of the compression's window, 128 MiB at most.
func Extract(w io.Writer, bzImage payload.File) (int64, error) {
	h, err := linux.ReadHeader(bzImage)
	if err != nil {
		return 0, err
	}
	if h.PayloadLength <= sizeField || uint64(h.PayloadOffset)+uint64(h.PayloadLength) > h.KernelSize {
		return 0, bzImage.Fail(payload.ErrMalformed, "compressed kernel of %d bytes at %#x in %d bytes", h.PayloadLength, h.PayloadOffset, h.KernelSize)
	}
	start, length := h.KernelOffset+int64(h.PayloadOffset), int64(h.PayloadLength)
	var tail [sizeField]byte
	if err := bzImage.ReadAt(tail[:], start+length-sizeField); err != nil {
		return 0, err
	}
	want := int64(binary.LittleEndian.Uint32(tail[:]))
	if want > maxSize {
		return 0, bzImage.Fail(payload.ErrMalformed, "the unpacked kernel is said to have %d bytes", want)
	}

	packed := bufio.NewReaderSize(io.NewSectionReader(bzImage.Data, start, length-sizeField), bufferSize)
	n, err := unpack(w, packed, want)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, errWrite):
		return 0, fmt.Errorf("%s: unpack: %w", bzImage.Name, err)
	}
	return 0, bzImage.Fail(payload.ErrMalformed, "unpack the compressed kernel: %v", err)
}

// errWrite tells a failure of the destination from one of the payload.
var errWrite = errors.New("write unpacked kernel")

// unpack decompresses r, which must give want bytes that begin like an ELF file.
func unpack(w io.Writer, r *bufio.Reader, want int64) (int64, error) {
	z, err := open(r)
	if err != nil {
		return 0, err
	}
	defer z.Close()
	head := make([]byte, 4)
	if _, err := io.ReadFull(z, head); err != nil {
		return 0, err
	}
	if !pvh.IsELF(head) {
		return 0, errors.New("it is no ELF file")
	}
	dst := &faultWriter{w: w}
	n, err := io.Copy(dst, io.LimitReader(io.MultiReader(bytes.NewReader(head), z), want+1))
	if err == nil && n != want {
		err = fmt.Errorf("%d or more bytes where %d were promised", n, want)
	}
	return n, err
}

func open(r *bufio.Reader) (io.ReadCloser, error) {
	for _, f := range formats {
		if head, err := r.Peek(len(f.magic)); err == nil && string(head) == f.magic {
			return f.open(r)
		}
	}
	return nil, errors.New("its compression is not known")
}

// faultWriter marks the errors of w.
type faultWriter struct{ w io.Writer }

func (f *faultWriter) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", errWrite, err)
	}
	return n, err
}
