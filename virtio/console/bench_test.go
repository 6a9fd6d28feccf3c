package console_test

import (
	"io"
	"testing"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

// BenchmarkOutput is the way of 4 KiB of the guest's output to the host.
func BenchmarkOutput(b *testing.B) {
	const size = 4096
	d := virtiotest.New(b, terminal(b, nil, io.Discard))
	d.Start(virtio.FeatureEventIdx)
	q := d.Queues[1]
	ring := q.Bare()
	q.SetDescriptor(0, d.Alloc(size), size, 0, 0)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		q.Offer(0)
		ring.Kick()
		ring.Await(1)
	}
}
