package debian

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"

	"github.com/klauspost/compress/zstd"
)

// maxELF bounds an unpacked kernel in bytes. Debian's are about 64 MiB.
const maxELF = 512 << 20

// ErrNotKernel is what ExtractELF wraps when the image is not a bzImage with an ELF kernel in it.
var ErrNotKernel = errors.New("not a bzImage")

// ExtractELF returns the ELF kernel inside a bzImage that was compressed with gzip, XZ (which needs the xz tool), LZ4 or zstd.
func ExtractELF(ctx context.Context, image []byte) ([]byte, error) {
	payload, err := payload(image)
	if err != nil {
		return nil, err
	}
	elf, err := decompress(ctx, payload)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(elf, []byte("\x7fELF")) {
		return nil, fmt.Errorf("%w: its payload is not an ELF file", ErrNotKernel)
	}
	return elf, nil
}

// payload finds the compressed kernel by the set-up header (boot protocol 2.08 and later). The four bytes of
// uncompressed size that the build appends are left out.
func payload(image []byte) ([]byte, error) {
	const (
		setupSects    = 0x1f1
		magic         = 0x202
		version       = 0x206
		payloadOffset = 0x248
		payloadLength = 0x24c
		headerEnd     = 0x250
	)
	if len(image) < headerEnd || string(image[magic:magic+4]) != "HdrS" {
		return nil, fmt.Errorf("%w: no set-up header", ErrNotKernel)
	}
	if v := binary.LittleEndian.Uint16(image[version:]); v < 0x208 {
		return nil, fmt.Errorf("%w: boot protocol %#x is too old", ErrNotKernel, v)
	}
	sects := uint64(image[setupSects])
	if sects == 0 {
		sects = 4
	}
	start := (sects+1)*512 + uint64(binary.LittleEndian.Uint32(image[payloadOffset:]))
	n := uint64(binary.LittleEndian.Uint32(image[payloadLength:]))
	if n < 8 || start+n > uint64(len(image)) {
		return nil, fmt.Errorf("%w: its payload (%d bytes at %d) leaves the file of %d bytes", ErrNotKernel, n, start, len(image))
	}
	return image[start : start+n-4], nil
}

func decompress(ctx context.Context, b []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(b, []byte("\x1f\x8b")):
		r, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("unpacking gzip: %w", err)
		}
		r.Multistream(false)
		return readCapped(r)
	case bytes.HasPrefix(b, []byte("\xfd7zXZ\x00")):
		return unxz(ctx, b)
	case bytes.HasPrefix(b, []byte("\x02\x21\x4c\x18")):
		return unlz4(b[4:], maxELF)
	case bytes.HasPrefix(b, []byte("\x28\xb5\x2f\xfd")):
		r, err := zstd.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("unpacking zstd: %w", err)
		}
		defer r.Close()
		return readCapped(r)
	}
	return nil, fmt.Errorf("%w: unknown compression % x", ErrNotKernel, b[:min(6, len(b))])
}

func readCapped(r io.Reader) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(r, maxELF+1))
	if err != nil {
		return nil, fmt.Errorf("unpacking the kernel: %w", err)
	}
	if len(out) > maxELF {
		return nil, fmt.Errorf("%w: it unpacks to more than %d bytes", ErrNotKernel, maxELF)
	}
	return out, nil
}

// unxz runs the xz tool, as neither Go nor this module's dependencies have a decoder.
func unxz(ctx context.Context, b []byte) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "xz", "--decompress", "--stdout")
	cmd.Stdin = bytes.NewReader(b)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting xz (Debian package xz-utils): %w", err)
	}
	out, readErr := readCapped(pipe)
	if readErr != nil {
		cancel()
	}
	if err := cmd.Wait(); err != nil && readErr == nil {
		return nil, fmt.Errorf("unpacking xz: %w: %s", err, lastLine(stderr.Bytes()))
	}
	return out, readErr
}
