package flush

import (
	"errors"
	"testing"
	"testing/synctest"
)

// TestShared has callers arrive during a round: the round that they share starts after they came.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New()
		rounds, release := 0, make(chan struct{})
		round := func() error {
			rounds++
			f.Wrote() // somebody writes all the time
			<-release
			return nil
		}
		f.Wrote()
		done := make(chan error)
		go func() { done <- f.Do(round) }()
		synctest.Wait()
		for range 5 {
			go func() { done <- f.Do(round) }()
		}
		synctest.Wait()
		if rounds != 1 {
			t.Fatalf("%d rounds at a time", rounds)
		}
		release <- struct{}{}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		release <- struct{}{}
		for range 5 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		if rounds != 2 {
			t.Errorf("5 callers that waited took %d more rounds, want one", rounds-1)
		}
	})
}

func TestNothingWritten(t *testing.T) {
	f := New()
	rounds := 0
	round := func() error { rounds++; return nil }
	for range 3 {
		if err := f.Do(round); err != nil {
			t.Fatal(err)
		}
	}
	f.Wrote()
	f.Do(round)
	f.Do(round)
	if rounds != 1 {
		t.Errorf("%d rounds for one write", rounds)
	}
}

func TestFailures(t *testing.T) {
	f := New()
	bad := errors.New("bad")
	f.Wrote()
	if err := f.Do(func() error { return bad }); err != bad {
		t.Fatal(err)
	}
	ran := false
	if err := f.Do(func() error { ran = true; return nil }); err != nil || !ran {
		t.Fatalf("a failed round was not tried again: %v", err)
	}
	f.Wrote()
	if err := f.Do(func() error { return f.Sync(func() error { return bad }) }); err != bad {
		t.Fatal(err)
	}
	if err := f.Do(func() error { return nil }); err != bad {
		t.Errorf("a flush succeeded after a failed sync: %v", err)
	}
}
