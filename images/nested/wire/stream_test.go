package wire

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"testing"
)

// wired is a source and a sink of one stream, joined by frames both ways.
type wired struct {
	source *Source
	sink   *Sink
}

func wire2(t *testing.T) *wired {
	t.Helper()
	dataR, dataW := io.Pipe()
	backR, backW := io.Pipe()
	w := &wired{source: NewSource(NewWriter(dataW), Stdout), sink: NewSink(NewWriter(backW), Stdout)}
	go func() {
		for in := NewReader(dataR); ; {
			f, err := in.Read()
			if err != nil {
				return
			}
			if f.Kind == KindEOF {
				w.sink.End()
			} else if err := w.sink.Put(f.Payload); err != nil {
				t.Error(err)
			}
		}
	}()
	go func() {
		for in := NewReader(backR); ; {
			f, err := in.Read()
			if err != nil {
				return
			}
			if f.Kind == KindClosed {
				w.source.Close()
			} else if n, err := f.Uint32(); err != nil {
				t.Error(err)
			} else if err := w.source.Credit(n); err != nil {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(func() { dataW.Close(); dataR.Close(); backW.Close(); backR.Close() })
	return w
}

func TestStreamCarriesMoreThanItsWindow(t *testing.T) {
	want := make([]byte, 5*windowSize+12345)
	rand.Read(want)
	w := wire2(t)
	sent := make(chan error, 1)
	go func() { sent <- w.source.Copy(bytes.NewReader(want)) }()
	var got bytes.Buffer
	if err := w.sink.Copy(&got); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes arrived, not the %d that were sent", got.Len(), len(want))
	}
}

// broken is a file that takes no more after some bytes.
type broken struct{ left int }

func (b *broken) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errors.New("nobody reads")
	}
	return len(p), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestStreamEndsWhenNobodyReads(t *testing.T) {
	w := wire2(t)
	sent := make(chan error, 1)
	go func() { sent <- w.source.Copy(zeros{}) }() // endless, were it not told
	if err := w.sink.Copy(&broken{left: 100_000}); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

func TestSourceStopsAtItsWindow(t *testing.T) {
	out := &counter{}
	s := NewSource(NewWriter(out), Stdout)
	done := make(chan error, 1)
	go func() { done <- s.Copy(zeros{}) }()
	// The source can only stop by itself for want of credit: when it waits, exactly one window has gone.
	for {
		s.mu.Lock()
		empty := s.credit == 0
		s.mu.Unlock()
		if empty {
			break
		}
	}
	s.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if out.payload != windowSize {
		t.Errorf("%d bytes went without credit, the window is %d", out.payload, windowSize)
	}
}

type counter struct{ payload int }

func (c *counter) Write(p []byte) (int, error) {
	c.payload += len(p) - headerLen
	return len(p), nil
}

func TestPeersAreHeldToTheWindow(t *testing.T) {
	if err := NewSource(NewWriter(io.Discard), Stdout).Credit(1); !errors.Is(err, ErrMalformed) {
		t.Errorf("credit for nothing: %v", err)
	}
	k := NewSink(NewWriter(io.Discard), Stdout)
	for sent := 0; ; sent += MaxPayload {
		if err := k.Put(make([]byte, MaxPayload)); err != nil {
			if !errors.Is(err, ErrMalformed) || sent+MaxPayload <= windowSize {
				t.Errorf("after %d bytes: %v", sent, err)
			}
			break
		}
	}
	k.End()
	if err := k.Put([]byte("x")); !errors.Is(err, ErrMalformed) {
		t.Errorf("data after the end: %v", err)
	}
}
