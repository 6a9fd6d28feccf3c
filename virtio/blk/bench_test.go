package blk_test

import (
	"fmt"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/blk"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

// nullImage moves no data, so that what is measured is the device alone.
type nullImage struct{ disk.VectorImage }

func (nullImage) Size() int64                               { return 1 << 40 }
func (nullImage) Info() disk.Info                           { return disk.Info{} }
func (nullImage) ReadvAt(b [][]byte, _ int64) (int, error)  { return 4096 * len(b), nil }
func (nullImage) WritevAt(b [][]byte, _ int64) (int, error) { return 4096 * len(b), nil }

// BenchmarkRequest is the way of a 4 KiB request through the device: doorbell, chain, image, used ring, interrupt. The driver's
// side of it, all in the same process, is part of the time.
func BenchmarkRequest(b *testing.B) {
	for _, kind := range []struct {
		name string
		kind uint32
	}{{"read", typeIn}, {"write", typeOut}} {
		for _, depth := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s 4KiB, depth %d", kind.name, depth), func(b *testing.B) {
				d := virtiotest.New(b, newDevice(b, blk.Config{Image: nullImage{}}))
				d.Start(virtio.FeatureEventIdx | featureFlush)
				q := d.Queues[0]
				ring := q.Bare()
				for i := range depth {
					at := uint16(4 * i)
					head, data, tail := d.Alloc(16), d.Alloc(4096), d.Alloc(1)
					copy(d.RAM(head, 16), header(kind.kind, uint64(i*1000)))
					flags := uint16(virtiotest.FlagNext)
					if kind.kind == typeIn {
						flags |= virtiotest.FlagWrite
					}
					q.SetDescriptor(at, head, 16, virtiotest.FlagNext, at+1)
					q.SetDescriptor(at+1, data, 4096, flags, at+2)
					q.SetDescriptor(at+2, tail, 1, virtiotest.FlagWrite, 0)
				}
				round := func() {
					for i := range depth {
						q.Offer(uint16(4 * i))
					}
					ring.Kick()
					ring.Await(depth)
				}
				for range 100 {
					round()
				}
				b.ReportAllocs()
				for b.Loop() {
					round()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*depth), "ns/request")
			})
		}
	}
}
