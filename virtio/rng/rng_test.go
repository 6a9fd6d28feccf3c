package rng

import (
	"bytes"
	"testing"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

const allFeatures = ^uint64(0)

func TestRandomBytes(t *testing.T) {
	d := virtiotest.New(t, New())
	d.Start(allFeatures)
	seen := map[string]bool{}
	for range 200 { // several times around the ring
		got := d.Queues[0].Submit(nil, 16, 16).Wait()
		if len(got) != 32 || seen[string(got)] || bytes.Equal(got, make([]byte, 32)) {
			t.Fatalf("got %x", got)
		}
		seen[string(got)] = true
	}
}

func TestRequestIsBounded(t *testing.T) {
	d := virtiotest.New(t, New())
	d.Start(0)
	r := d.Queues[0].Submit(nil, 1<<20, 1<<20)
	if got := len(r.Wait()); got != maxRequest {
		t.Fatalf("%d bytes for one request, want %d", got, maxRequest)
	}
	if tail := r.Writable()[maxRequest:]; !bytes.Equal(tail, make([]byte, len(tail))) {
		t.Fatal("bytes beyond the used length were written")
	}
}

func TestReadableBuffersAreIgnored(t *testing.T) {
	d := virtiotest.New(t, New())
	d.Start(0)
	if got := d.Queues[0].Submit([][]byte{{1, 2, 3}}).Wait(); len(got) != 0 {
		t.Fatalf("%d bytes written to a chain without room", len(got))
	}
}

func TestQueueIsNeeded(t *testing.T) {
	d := virtiotest.New(t, New())
	d.Negotiate(0)
	d.DriverOK()
	if !d.NeedsReset() {
		t.Fatal("started without its queue")
	}
	d.Start(0)
	d.Queues[0].Submit(nil, 8).Wait()
}

func TestSnapshotCycle(t *testing.T) {
	virtiotest.SnapshotCycle(t, func() virtio.Device { return New() }, func(t *testing.T, d *virtiotest.Driver) {
		if d.Status() == 0 {
			d.Start(allFeatures)
		}
		if got := d.Queues[0].Submit(nil, 24).Wait(); len(got) != 24 {
			t.Fatalf("%d bytes", len(got))
		}
	})
}
