package audio

import (
	"fmt"
	"time"
)

// Format is how samples are stored: signed, little endian, the channels of a frame side by side.
type Format struct {
	Rate     int // frames in a second, MinRate to MaxRate
	Channels int // 1 or 2
	Bits     int // of a sample: 16 or 32
}

// The bounds of Format.Rate.
const (
	MinRate = 5512
	MaxRate = 192000
)

// Frame is the size of a frame in bytes.
func (f Format) Frame() int { return f.Channels * f.Bits / 8 }

// Second is the size of a second in bytes.
func (f Format) Second() int { return f.Rate * f.Frame() }

// Duration is how long n bytes last.
func (f Format) Duration(n int) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(f.Second())
}

// Check says what is wrong with a format.
func (f Format) Check() error {
	if f.Rate < MinRate || f.Rate > MaxRate || f.Channels < 1 || f.Channels > 2 || f.Bits != 16 && f.Bits != 32 {
		return fmt.Errorf("audio: %d channels of %d bits at %d Hz are not supported", f.Channels, f.Bits, f.Rate)
	}
	return nil
}

// Backend is what sound can be played on.
type Backend interface {
	// Open begins a stream. It does not wait: one that can't be played after all is silent.
	Open(f Format) (Stream, error)
	// Close ends what is left of the streams.
	Close() error
}

// Stream is one sound, from its first sample to its last. Its methods are called by one goroutine at a time.
type Stream interface {
	// Write plays whole frames after those before. It does not wait, and keeps nothing of p: what there is no room for is lost.
	Write(p []byte)
	// Latency is how long it takes until what is written now is heard, as far as is known.
	Latency() time.Duration
	// Close ends the stream once what was written has been heard. It does not wait for that.
	Close()
}
