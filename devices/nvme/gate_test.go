package nvme_test

import (
	"testing"
	"time"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/throttle"
)

// TestGate has reads pass a gate of one operation a second, at a time that stands still: what waits, waits in the guest's queue, and neither a
// pause nor a reset waits for it.
func TestGate(t *testing.T) {
	now := clock.NewFake(time.Unix(0, 0))
	bucket := throttle.NewBucket(now, throttle.Rate{PerSecond: 1, Burst: 1})
	c := one(newImage(imageSize))
	c.Namespaces[0].Reads = &throttle.Gate{Operations: []*throttle.Bucket{bucket}}
	d, q := start(t, c)
	buf := d.alloc(1)
	q.must(transfer(write, 0, 1, buf, 0)) // it asks for nothing
	for range 5 {
		q.offer(transfer(read, 0, 1, buf, 0))
	}
	q.ring()
	for i := range 3 {
		q.next()
		d.dev.Pause()
		if _, ok := q.poll(); ok {
			t.Fatalf("read %d did not wait", i+2)
		}
		d.dev.Resume()
		now.Advance(time.Second)
	}
	q.next()
	bucket.Set(throttle.Rate{})
	q.next()
	bucket.Set(throttle.Rate{PerSecond: 1, Burst: 1})
	for range 3 {
		q.offer(transfer(read, 0, 1, buf, 0))
	}
	q.ring()
	q.next()
	d.enable()
	if operations, bytes := c.Namespaces[0].Reads.Passed(); operations != 6 || bytes != 6*512 {
		t.Errorf("%d operations and %d bytes have passed", operations, bytes)
	}
}
