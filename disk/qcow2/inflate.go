package qcow2

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/inflate"
)

// maxWindow is the longest history that a zstd stream may ask for: nobody compresses more than a cluster.
const maxWindow = 8 << 20

// inflater reads compressed clusters.
type inflater struct {
	*header
	decoders sync.Pool // of decoder
}

// decoder is a decompressor with its input.
type decoder struct {
	raw []byte
	// fill fills p from the start of raw.
	fill func(p, raw []byte) error
}

// inflate fills p with the cluster that e, a compressed entry, places, and never makes more of however much the stream promises.
func (f *inflater) inflate(file disk.File, e uint64, p []byte) error {
	d, err := f.decoder()
	if err != nil {
		return err
	}
	defer f.decoders.Put(d)
	at, length := f.packed(e)
	if int64(cap(d.raw)) < length {
		d.raw = make([]byte, length)
	}
	// The file may end inside the last sector.
	if err := readPadded(file, d.raw[:length], at); err != nil {
		return err
	}
	if err := d.fill(p, d.raw[:length]); err != nil {
		return disk.Corrupt(file.Name(), at, "a compressed cluster (%s) does not expand to %d bytes: %v", f.compressionName(), len(p), err)
	}
	return nil
}

func (f *inflater) decoder() (*decoder, error) {
	if d, ok := f.decoders.Get().(*decoder); ok {
		return d, nil
	}
	if f.compression == compressDeflate {
		return &decoder{fill: inflateDeflate(new(inflate.Decoder))}, nil
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, fmt.Errorf("start a zstd decoder: %w", err)
	}
	return &decoder{fill: inflateZstd(z)}, nil
}

// inflateDeflate returns the fill of raw deflate, without zlib's header. What follows a cluster is of no interest, as it may be another's.
func inflateDeflate(d *inflate.Decoder) func(p, raw []byte) error {
	return func(p, raw []byte) error {
		n, _, err := d.Decode(p, raw)
		switch {
		case n == len(p):
			return nil
		case err == nil:
			return io.ErrUnexpectedEOF
		}
		return err
	}
}

// inflateZstd returns the fill of zstd.
func inflateZstd(z *zstd.Decoder) func(p, raw []byte) error {
	var in bytes.Reader
	return func(p, raw []byte) error {
		in.Reset(raw)
		if err := z.Reset(&in); err != nil {
			return err
		}
		_, err := io.ReadFull(z, p)
		return err
	}
}

// readPadded reads p at off; what lies beyond the end of the file reads as zeroes.
func readPadded(file disk.File, p []byte, off int64) error {
	n, err := file.ReadAt(p, off)
	if err == io.EOF || n == len(p) {
		clear(p[n:])
		return nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%s: read at byte %d: %w", file.Name(), off, err)
}
