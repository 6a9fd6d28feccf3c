package nvme_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/sharevm/vmm/disk"
)

// nullImage moves no data, so that what is measured is the controller alone.
type nullImage struct{ disk.VectorImage }

func (nullImage) Size() int64                               { return 64 << 20 }
func (nullImage) Info() disk.Info                           { return disk.Info{} }
func (nullImage) ReadvAt(b [][]byte, _ int64) (int, error)  { return 4096 * len(b), nil }
func (nullImage) WritevAt(b [][]byte, _ int64) (int, error) { return 4096 * len(b), nil }

// BenchmarkRequest is the way of a 4 KiB read through the controller: doorbell, command, image, completion, interrupt.
func BenchmarkRequest(b *testing.B) {
	for _, depth := range []int{1, 32} {
		b.Run(fmt.Sprintf("depth%d", depth), func(b *testing.B) {
			d, q := start(b, one(nullImage{}))
			buf := d.alloc(1)
			round := func() {
				for i := range depth {
					q.offer(transfer(read, uint64(i*1000), 8, buf, 0))
				}
				q.ring()
				for n := 0; n < depth; {
					if _, ok := q.poll(); ok {
						n++
					} else {
						runtime.Gosched()
					}
				}
				q.consumed()
			}
			for range 100 { // every slot made, every buffer grown
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
