package ide

import (
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

// BenchmarkDMA is the way of a 4 KiB request through the channel: registers, bus master, table, image, interrupt, and the driver's side of it.
func BenchmarkDMA(b *testing.B) {
	for name, op := range map[string]uint8{"read": 0x25, "write": 0x35} {
		b.Run(name, func(b *testing.B) {
			d := newDriver(b, newDisk(b, ata.DiskConfig{Image: nullImage{}}))
			round := func() {
				d.dma(op == 0x25, region{buffers, 4096})
				d.command(op, 0, 8, 80, lba)
				d.start()
				if s := d.wait(); s != good {
					b.Fatalf("status %#x", s)
				}
				d.stop()
			}
			for range 100 {
				round()
			}
			b.ReportAllocs()
			for b.Loop() {
				round()
			}
		})
	}
}
