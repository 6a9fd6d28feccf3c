package ahci

import (
	"fmt"
	"testing"

	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/disk"
)

// nullImage moves no data, so that what is measured is the device alone.
type nullImage struct{ disk.VectorImage }

func (nullImage) Size() int64                               { return 64 << 20 }
func (nullImage) Info() disk.Info                           { return disk.Info{} }
func (nullImage) ReadvAt(b [][]byte, _ int64) (int, error)  { return 4096 * len(b), nil }
func (nullImage) WritevAt(b [][]byte, _ int64) (int, error) { return 4096 * len(b), nil }

// BenchmarkRequest is the way of a 4 KiB request through the adapter: PxCI, list and table, image, frame, interrupt, and the driver's side of it.
func BenchmarkRequest(b *testing.B) {
	for name, op := range map[string]uint8{"read": opReadQueued, "write": opWriteQueued} {
		for _, depth := range []int{1, 31} {
			b.Run(fmt.Sprintf("%s/depth%d", name, depth), func(b *testing.B) {
				d := newDriver(b, newDisk(b, ata.DiskConfig{Image: nullImage{}}))
				var all uint32
				for slot := range depth {
					d.fill(slot, queued(op, slot, uint64(slot*8), 8, piece{buffers + slot*4096, 4096}))
					all |= 1 << slot
				}
				round := func() {
					d.set(at(0, portActive), all)
					d.set(at(0, portIssue), all)
					for d.get(at(0, portActive)) != 0 {
						d.interrupt()
					}
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
