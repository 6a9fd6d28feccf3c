package blk_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/raw"
	"github.com/sharevm/vmm/disk/vmdk"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/blk"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

const benchSize = 64 << 20

// nullImage moves no data, so that what is measured is the device alone.
type nullImage struct{ disk.VectorImage }

func (nullImage) Size() int64                               { return benchSize }
func (nullImage) Info() disk.Info                           { return disk.Info{} }
func (nullImage) ReadvAt(b [][]byte, _ int64) (int, error)  { return 4096 * len(b), nil }
func (nullImage) WritevAt(b [][]byte, _ int64) (int, error) { return 4096 * len(b), nil }

// rawImage is a file of random content in the page cache.
func rawImage(b *testing.B) (path string, image disk.Image) {
	path = filepath.Join(b.TempDir(), "disk.raw")
	if err := os.WriteFile(path, pattern(1, benchSize), 0o600); err != nil {
		b.Fatal(err)
	}
	image, err := raw.Open(path, disk.OpenOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { image.Close() })
	return path, image
}

// vmdkImage is a monolithic sparse VMDK of the same content, all of it allocated.
func vmdkImage(b *testing.B) disk.Image {
	path := filepath.Join(b.TempDir(), "disk.vmdk")
	if err := vmdk.Create(path, disk.CreateOptions{Size: benchSize}); err != nil {
		b.Fatal(err)
	}
	image, err := vmdk.Open(path, disk.OpenOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { image.Close() })
	if _, err := image.WriteAt(pattern(1, benchSize), 0); err != nil {
		b.Fatal(err)
	}
	return image
}

// BenchmarkRequest is the way of a 4 KiB request through the device: doorbell, chain, image, used ring, interrupt. The driver's
// side of it, which sleeps until the interrupt, is part of the time.
func BenchmarkRequest(b *testing.B) {
	_, file := rawImage(b)
	for _, medium := range []struct {
		name  string
		image disk.Image
	}{{"null", nullImage{}}, {"raw", file}, {"vmdk", vmdkImage(b)}} {
		for name, kind := range map[string]uint32{"read": typeIn, "write": typeOut} {
			for _, depth := range []int{1, 32} {
				b.Run(fmt.Sprintf("%s/%s/depth%d", medium.name, name, depth), func(b *testing.B) {
					benchmarkRequest(b, medium.image, kind, depth)
				})
			}
		}
	}
}

func benchmarkRequest(b *testing.B, image disk.Image, kind uint32, depth int) {
	d := virtiotest.New(b, newDevice(b, blk.Config{Image: image}))
	d.Start(virtio.FeatureEventIdx | featureFlush)
	q := d.Queues[0]
	ring := q.Bare()
	for i := range depth {
		at := uint16(4 * i)
		head, data, tail := d.Alloc(16), d.Alloc(4096), d.Alloc(1)
		copy(d.RAM(head, 16), header(kind, uint64(i*1000)))
		flags := uint16(virtiotest.FlagNext)
		if kind == typeIn {
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
	for range 100 { // every slot made, every buffer grown
		round()
	}
	b.ReportAllocs()
	for b.Loop() {
		round()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*depth), "ns/request")
}

// BenchmarkPread is the least that a 4 KiB read of the same file can cost: the system call alone.
func BenchmarkPread(b *testing.B) {
	path, _ := rawImage(b)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	at := int64(0)
	for b.Loop() {
		at = (at + 512000) % benchSize
		if _, err := unix.Pread(fd, buf, at&^4095); err != nil {
			b.Fatal(err)
		}
	}
}
