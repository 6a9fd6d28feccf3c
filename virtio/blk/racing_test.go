//go:build !race

package blk_test

import (
	"bytes"
	"testing"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/blk"
	"github.com/sharevm/vmm/virtio/virtiotest"
	"github.com/sharevm/vmm/vmm/memory/memorytest"
)

// A guest that rewrites a header while the device reads it gets some answer, and what was checked is what is done: no request
// reaches beyond the sectors that a sound header could name. (The race is the point, so the race detector does not run this.)
func TestRacingHeader(t *testing.T) {
	image := newImage(imageSize)
	original := pattern(5, imageSize)
	image.Fill(0, original)
	d := start(t, blk.Config{Image: image})
	q := d.Queues[0]
	ring := q.Bare()
	head, data, tail := d.Alloc(16), d.Alloc(2*sector), d.Alloc(1)
	headers := [][]byte{header(typeOut, 5), header(typeIn, 5), header(typeOut, imageSize/sector-1), header(typeOut, 1<<63), header(typeZeroes, 1<<64-1), header(99, 5)}
	guest := d.RAM(head, 16)
	copy(guest, headers[0])
	q.SetDescriptor(0, head, 16, virtiotest.FlagNext, 1)
	q.SetDescriptor(1, data, 2*sector, virtiotest.FlagNext, 2)
	q.SetDescriptor(2, tail, 1, virtiotest.FlagWrite, 0)
	stop := memorytest.Beside(t, func(i int) { copy(guest, headers[i%len(headers)]) })
	for range 20000 {
		q.Offer(0)
		ring.Kick()
		ring.Await(1)
		if s := d.RAM(tail, 1)[0]; s > statusUnsupported {
			t.Fatalf("status %d", s)
		}
	}
	stop()
	if d.Status() != virtio.StatusAcknowledge|virtio.StatusDriver|virtio.StatusFeaturesOK|virtio.StatusDriverOK {
		t.Errorf("device status %#x", d.Status())
	}
	if !bytes.Equal(image.Content(0, 5*sector), original[:5*sector]) || !bytes.Equal(image.Content(7*sector, imageSize-7*sector), original[7*sector:]) {
		t.Error("a sector that no sound header named was changed")
	}
}
