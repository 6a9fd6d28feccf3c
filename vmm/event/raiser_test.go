package event

import (
	"sync"
	"testing"
)

// TestRaiser counts what is signalled, and leaves alone the descriptor that takes the place of its own.
func TestRaiser(t *testing.T) {
	r, err := NewRaiser()
	if err != nil {
		t.Fatal(err)
	}
	if r.Clear() {
		t.Error("signalled at birth")
	}
	r.Signal()
	r.Signal()
	if !r.Clear() || r.Clear() {
		t.Error("Clear is wrong")
	}
	var work sync.WaitGroup
	work.Go(func() {
		for range 1000 {
			r.Signal()
		}
	})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := NewRaiser()
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	work.Wait()
	if r.Signal(); next.Clear() || r.Clear() { // the next one has its number
		t.Error("one that is closed signals another")
	}
	if err := r.Close(); err != nil || next.Clear() {
		t.Error(err)
	}
	next.Signal()
	if !next.Clear() {
		t.Error("closing one twice closes another")
	}
}

func BenchmarkRaiser(b *testing.B) {
	r, err := NewRaiser()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	b.ReportAllocs()
	for b.Loop() {
		r.Signal()
	}
}
