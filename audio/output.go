package audio

import (
	"sync/atomic"
	"time"
)

// Output is a backend that can be muted. Time goes on meanwhile.
type Output struct {
	to    Backend
	muted atomic.Bool
}

// NewOutput returns an output to a backend, which it takes over.
func NewOutput(to Backend) *Output { return &Output{to: to} }

// Mute makes what is written from now on silent, or heard.
func (o *Output) Mute(on bool) { o.muted.Store(on) }

// Open implements Backend.
func (o *Output) Open(f Format) (Stream, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	s, err := o.to.Open(f)
	if err != nil {
		return nil, err
	}
	return &output{o: o, to: s, frame: f.Frame()}, nil
}

// Close implements Backend.
func (o *Output) Close() error { return o.to.Close() }

type output struct {
	o     *Output
	to    Stream
	frame int
}

// silence is a multiple of every frame.
var silence [4096]byte

// Write implements Stream.
func (s *output) Write(p []byte) {
	if !s.o.muted.Load() {
		s.to.Write(p)
		return
	}
	for n := len(p) - len(p)%s.frame; n > 0; {
		piece := min(n, len(silence))
		s.to.Write(silence[:piece])
		n -= piece
	}
}

// Latency implements Stream.
func (s *output) Latency() time.Duration { return s.to.Latency() }

// Close implements Stream.
func (s *output) Close() { s.to.Close() }
