package qcow2

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"github.com/sharevm/vmm/disk"
)

const (
	// inflatedBytes bounds the inflated clusters that are remembered; there are always two at least.
	inflatedBytes = 2 << 20
	// maxWindow is the longest history that a zstd stream may ask for: nobody compresses more than a cluster.
	maxWindow = 8 << 20
)

// inflater reads compressed clusters, and remembers the last few.
type inflater struct {
	*header
	decoders sync.Pool // of decoder
	keep     int

	mu     sync.Mutex
	recent []inflated // the latest at the end
}

// inflated is the content of the cluster that an entry refers to.
type inflated struct {
	entry uint64
	data  []byte
}

func newInflater(h *header) *inflater {
	return &inflater{header: h, keep: int(max(2, inflatedBytes>>h.clusterBits))}
}

// read fills p from byte in of the cluster that e, a compressed entry, places.
func (f *inflater) read(file disk.File, e uint64, p []byte, in int64) error {
	data := f.cached(e)
	if data == nil {
		var err error
		if data, err = f.inflate(file, e); err != nil {
			return err
		}
		f.remember(e, data)
	}
	copy(p, data[in:])
	return nil
}

func (f *inflater) cached(e uint64) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.recent) - 1; i >= 0; i-- {
		if f.recent[i].entry == e {
			return f.recent[i].data
		}
	}
	return nil
}

func (f *inflater) remember(e uint64, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.recent) == f.keep {
		f.recent = append(f.recent[:0], f.recent[1:]...)
	}
	f.recent = append(f.recent, inflated{e, data})
}

// decoder is a decompressor with its input.
type decoder struct {
	raw []byte
	in  bytes.Reader
	out interface {
		io.Reader
		reset(io.Reader) error
	}
}

// inflate reads a whole cluster. It never makes more than that of however much the stream promises.
func (f *inflater) inflate(file disk.File, e uint64) ([]byte, error) {
	d, err := f.decoder()
	if err != nil {
		return nil, err
	}
	defer f.decoders.Put(d)
	at, length := f.packed(e)
	if int64(cap(d.raw)) < length {
		d.raw = make([]byte, length)
	}
	// The file may end inside the last sector.
	if err := readPadded(file, d.raw[:length], at); err != nil {
		return nil, err
	}
	d.in.Reset(d.raw[:length])
	data := make([]byte, f.clusterSize())
	err = d.out.reset(&d.in)
	if err == nil {
		_, err = io.ReadFull(d.out, data)
	}
	if err != nil {
		return nil, disk.Corrupt(file.Name(), at, "a compressed cluster (%s) does not expand to %d bytes: %v", f.compressionName(), f.clusterSize(), err)
	}
	return data, nil
}

func (f *inflater) decoder() (*decoder, error) {
	if d, ok := f.decoders.Get().(*decoder); ok {
		return d, nil
	}
	if f.compression == compressDeflate {
		return &decoder{out: deflate{flate.NewReader(nil)}}, nil
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, fmt.Errorf("start a zstd decoder: %w", err)
	}
	return &decoder{out: zst{z}}, nil
}

// deflate is raw deflate, without zlib's header.
type deflate struct{ io.ReadCloser }

func (d deflate) reset(r io.Reader) error { return d.ReadCloser.(flate.Resetter).Reset(r, nil) }

type zst struct{ *zstd.Decoder }

func (z zst) reset(r io.Reader) error { return z.Reset(r) }

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
