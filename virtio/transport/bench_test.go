package transport_test

import (
	"testing"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

// BenchmarkRoundTrip is one request with everything asleep: doorbell, eventfd, worker, echo, interrupt.
func BenchmarkRoundTrip(b *testing.B) {
	d := virtiotest.New(b, new(echo))
	d.Start(virtio.FeatureEventIdx)
	q := d.Queues[1]
	page := d.Alloc(4096)
	q.SetDescriptor(0, page, 16, virtiotest.FlagNext, 1)
	q.SetDescriptor(1, page+2048, 16, virtiotest.FlagWrite, 0)
	doorbell := d.Address(virtiotest.Notify) + 4
	value := []byte{1, 0}
	interrupt := d.Interrupts.Channel(2)
	b.ReportAllocs()
	for b.Loop() {
		q.Offer(0)
		q.AskInterrupt()
		d.MMIO.Write(doorbell, value)
		<-interrupt
		q.Skip()
	}
}
