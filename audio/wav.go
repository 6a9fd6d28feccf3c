package audio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// WAV is a backend that writes what it is given to a file (RIFF WAVE, PCM). It is for tests: writing may wait for the file. The first stream
// decides the format; later ones follow it in the file.
type WAV struct {
	mu     sync.Mutex
	file   *os.File
	format Format // zero before the first stream
	size   int64  // of the samples, in bytes
	err    error  // the first
}

// NewWAV returns a backend that writes to an empty file, which it takes over.
func NewWAV(f *os.File) *WAV { return &WAV{file: f} }

const wavHeader = 44

// Open implements Backend.
func (w *WAV) Open(f Format) (Stream, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.format == (Format{}) {
		w.format = f
	}
	if w.format != f {
		return nil, fmt.Errorf("%s: a stream of %d channels of %d bits at %d Hz does not fit", w.file.Name(), f.Channels, f.Bits, f.Rate)
	}
	return wavStream{w}, nil
}

// Close writes the header and closes the file. A file without a stream stays empty.
func (w *WAV) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.err
	if err == nil && w.format != (Format{}) {
		_, err = w.file.WriteAt(w.header(), 0)
	}
	if err = errors.Join(err, w.file.Close()); err != nil {
		return fmt.Errorf("write the sound: %w", err)
	}
	return nil
}

// header is what precedes the samples.
func (w *WAV) header() []byte {
	le := binary.LittleEndian
	f, h := w.format, make([]byte, wavHeader)
	copy(h, "RIFF")
	le.PutUint32(h[4:], uint32(wavHeader-8+w.size))
	copy(h[8:], "WAVEfmt ")
	le.PutUint32(h[16:], 16)
	le.PutUint16(h[20:], 1) // PCM
	le.PutUint16(h[22:], uint16(f.Channels))
	le.PutUint32(h[24:], uint32(f.Rate))
	le.PutUint32(h[28:], uint32(f.Second()))
	le.PutUint16(h[32:], uint16(f.Frame()))
	le.PutUint16(h[34:], uint16(f.Bits))
	copy(h[36:], "data")
	le.PutUint32(h[40:], uint32(w.size))
	return h
}

type wavStream struct{ w *WAV }

// Write implements Stream.
func (s wavStream) Write(p []byte) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.err != nil {
		return
	}
	n, err := s.w.file.WriteAt(p, wavHeader+s.w.size)
	s.w.size += int64(n)
	s.w.err = err
}

// Latency implements Stream.
func (wavStream) Latency() time.Duration { return 0 }

// Close implements Stream.
func (wavStream) Close() {}
