package network

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// counting counts the frames written to it.
type counting struct {
	Link
	frames int
}

func (c *counting) WriteFrame([][]byte) error { c.frames++; return nil }
func (c *counting) Offloads() Offloads        { return OffloadTSO4 }

func TestShared(t *testing.T) {
	one := &counting{Link: Unplugged()}
	links := Shared(one, 3)
	if len(links) != 3 {
		t.Fatalf("%d links", len(links))
	}
	for i, l := range links {
		if err := l.WriteFrame(nil); err != nil || one.frames != i+1 {
			t.Errorf("link %d: %v, %d frames in all", i, err, one.frames)
		}
		if l.Offloads() != OffloadTSO4 {
			t.Errorf("link %d has offloads %v", i, l.Offloads())
		}
		if err := l.SetGuestOffloads(OffloadChecksum); err != nil {
			t.Error(err)
		}
	}
	if err := links[2].SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := links[2].ReadFrame(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	// One that is closed leaves the others alone.
	if err := links[2].Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := links[2].ReadFrame(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	if err := links[1].WriteFrame(nil); err != nil || one.frames != 4 {
		t.Errorf("%v, %d frames", err, one.frames)
	}
	if got := Shared(one, 1); len(got) != 1 || got[0] != Link(one) {
		t.Errorf("one pair has the links %v", got)
	}
}

// TestSharedTakesTurns sends by all links at once to one that, like any Link, has one sender at a time; the race detector sees two.
func TestSharedTakesTurns(t *testing.T) {
	one := &counting{Link: Unplugged()}
	var senders sync.WaitGroup
	for _, l := range Shared(one, 4) {
		senders.Go(func() {
			for range 1000 {
				if err := l.WriteFrame(nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait()
	if one.frames != 4000 {
		t.Errorf("%d frames of 4000", one.frames)
	}
}
