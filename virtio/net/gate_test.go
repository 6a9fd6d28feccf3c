package net_test

import (
	"testing"
	"time"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/virtio/net"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

// TestGates lets frames of 1000 bytes pass at 1000 bytes a second, one each way, and stops and resets the card while others wait, at a
// time that stands still.
func TestGates(t *testing.T) {
	now := clock.NewFake(time.Unix(0, 0))
	gate := func() *throttle.Gate {
		return &throttle.Gate{Bytes: []*throttle.Bucket{throttle.NewBucket(now, throttle.Rate{PerSecond: 1000, Burst: 1000})}}
	}
	link := linktest.New(0)
	dev := newDevice(t, net.Config{Links: []network.Link{link}, In: gate(), Out: gate()})
	d := virtiotest.New(t, dev)
	d.Start(allFeatures)
	submit := func() (in, out []*virtiotest.Request) {
		for range 4 {
			in = append(in, d.Queues[0].Submit(nil, 2048))
			out = append(out, d.Queues[1].Submit([][]byte{frame(1, 1000)}))
			link.DeliverWhole(frame(2, 1000))
		}
		return in, out
	}
	in, out := submit()
	for i := range 2 {
		in[i].Wait()
		out[i].Wait()
		if n, m := d.Queues[0].Outstanding(), d.Queues[1].Outstanding(); n != 3-i || m != 3-i {
			t.Errorf("%d frames to the guest and %d from it wait after %d, want %d", n, m, i+1, 3-i)
		}
		now.Advance(time.Second + time.Millisecond)
	}
	in[2].Wait()
	out[2].Wait()
	dev.Pause()
	now.Advance(time.Minute)
	if n, m := d.Queues[0].Outstanding(), d.Queues[1].Outstanding(); n != 1 || m != 1 {
		t.Errorf("%d and %d frames wait while paused, want 1 and 1", n, m)
	}
	dev.Resume()
	in[3].Wait()
	out[3].Wait()
	submit()
	d.Reset()
	d.Start(allFeatures)
	now.Advance(time.Minute)
	d.Queues[1].Submit([][]byte{frame(3, 1000)}).Wait()
}
