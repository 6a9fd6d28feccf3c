package event

import (
	"errors"
	"os"
	"sync"
	"testing"
)

func newEvent(t testing.TB) *Event {
	t.Helper()
	e, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func TestSignalsAreCollected(t *testing.T) {
	e := newEvent(t)
	if e.Clear() {
		t.Fatal("signalled at birth")
	}
	for range 3 {
		e.Signal()
	}
	if err := e.Wait(); err != nil {
		t.Fatal(err)
	}
	if e.Clear() {
		t.Fatal("Wait left signals behind")
	}
	e.Signal()
	if !e.Clear() || e.Clear() {
		t.Fatal("Clear is wrong")
	}
}

// TestPingPong lets two goroutines wake each other; a lost signal shows as a deadlock.
func TestPingPong(t *testing.T) {
	ping, pong := newEvent(t), newEvent(t)
	const rounds = 10_000
	var other sync.WaitGroup
	other.Go(func() {
		for range rounds {
			if err := ping.Wait(); err != nil {
				t.Error(err)
				return
			}
			pong.Signal()
		}
	})
	for range rounds {
		ping.Signal()
		if err := pong.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	other.Wait()
}

func TestCloseWakesTheWaiter(t *testing.T) {
	e := newEvent(t)
	result := make(chan error)
	started := newEvent(t)
	go func() {
		started.Signal()
		result <- e.Wait()
	}()
	if err := started.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
	if err := e.Wait(); !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
}

// TestClearAfterClose clears an event whose number another one has by then, and one that somebody waits for.
func TestClearAfterClose(t *testing.T) {
	old := newEvent(t)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	for range 64 { // one of them gets the number
		e := newEvent(t)
		e.Signal()
		if old.Clear() {
			t.Fatal("a closed event was signalled")
		}
		if !e.Clear() {
			t.Fatal("the signal of another event is gone")
		}
	}
}

func TestClearWhileSomebodyWaits(t *testing.T) {
	e := newEvent(t)
	result := make(chan error)
	go func() { result <- e.Wait() }()
	for range 100 {
		e.Clear() // must not wait for the other
	}
	e.Signal()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

func BenchmarkSignalWait(b *testing.B) {
	e := newEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		e.Signal()
		if err := e.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}
