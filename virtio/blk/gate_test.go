package blk_test

import (
	"testing"
	"time"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/virtio/blk"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

// tolls is a device whose reads have to pass a gate of one operation a second, at a time that stands still.
func tolls(t *testing.T) (*clock.Fake, *throttle.Bucket, *blk.Device) {
	c := clock.NewFake(time.Unix(0, 0))
	b := throttle.NewBucket(c, throttle.Rate{PerSecond: 1, Burst: 1})
	return c, b, newDevice(t, blk.Config{
		Image: newImage(imageSize), Reads: &throttle.Gate{Operations: []*throttle.Bucket{b}},
	})
}

func submitReads(q *virtiotest.Queue, n int) (all []*virtiotest.Request) {
	for i := range n {
		all = append(all, q.Submit([][]byte{header(typeIn, uint64(i))}, sector, 1))
	}
	return all
}

// TestGate takes from the ring what the gate lets pass, in order, and leaves the rest there.
func TestGate(t *testing.T) {
	now, _, dev := tolls(t)
	d := virtiotest.New(t, dev)
	d.Start(allFeatures)
	q := d.Queues[0]
	// What the gate does not ask about goes first: behind a read it would wait.
	if s := status(q.Submit([][]byte{header(typeOut, 0), pattern(1, sector)}, 1)); s != statusOK {
		t.Fatalf("write: status %d", s)
	}
	reads := submitReads(q, 5)
	for i, r := range reads {
		if s := status(r); s != statusOK {
			t.Errorf("read %d: status %d", i, s)
		}
		if left := q.Outstanding(); left != len(reads)-i-1 {
			t.Errorf("%d reads are left after %d, want %d", left, i+1, len(reads)-i-1)
		}
		now.Advance(time.Second)
	}
}

// TestGateLifted has waiting requests go on when the limit is lifted.
func TestGateLifted(t *testing.T) {
	_, bucket, dev := tolls(t)
	d := virtiotest.New(t, dev)
	d.Start(allFeatures)
	reads := submitReads(d.Queues[0], 5)
	status(reads[0])
	bucket.Set(throttle.Rate{})
	for _, r := range reads {
		if s := status(r); s != statusOK {
			t.Errorf("status %d", s)
		}
	}
}

// TestGateStops pauses, resumes and resets a device while requests wait at its gate, at a time that stands still: none of it may wait.
func TestGateStops(t *testing.T) {
	now, _, dev := tolls(t)
	d := virtiotest.New(t, dev)
	d.Start(allFeatures)
	reads := submitReads(d.Queues[0], 3)
	status(reads[0])
	dev.Pause()
	now.Advance(time.Second) // nothing moves in a paused device
	if n := d.Queues[0].Outstanding(); n != 2 {
		t.Errorf("%d requests are left while paused, want 2", n)
	}
	dev.Resume()
	if s := status(reads[1]); s != statusOK {
		t.Errorf("after the pause: status %d", s)
	}
	d.Reset()
	d.Start(allFeatures)
	now.Advance(time.Second)
	if s := status(submitReads(d.Queues[0], 1)[0]); s != statusOK {
		t.Errorf("after the reset: status %d", s)
	}
}
