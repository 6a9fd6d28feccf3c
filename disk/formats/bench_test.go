package formats_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
)

const (
	benchSize  = 256 << 20
	benchBlock = 4096
)

// benchImages are what the benchmarks compare: each full of data.
var benchImages = []struct {
	name, file string
	o          disk.CreateOptions
}{
	{"raw", "disk.raw", disk.CreateOptions{}},
	{"vmdk-sparse", "disk.vmdk", disk.CreateOptions{}},
	{"vmdk-flat", "disk.vmdk", disk.CreateOptions{Variant: "monolithicFlat"}},
	{"vhd-dynamic", "disk.vhd", disk.CreateOptions{}},
	{"vhd-fixed", "disk.vhd", disk.CreateOptions{Variant: "fixed"}},
	{"vhdx-dynamic", "disk.vhdx", disk.CreateOptions{}},
	{"vdi", "disk.vdi", disk.CreateOptions{}},
	{"qcow2", "disk.qcow2", disk.CreateOptions{}},
}

// full makes an image without holes.
func full(b *testing.B, file string, o disk.CreateOptions) disk.VectorImage {
	b.Helper()
	path := filepath.Join(disktest.Dir(b), file)
	o.Size = benchSize
	if err := formats.Create(path, o); err != nil {
		b.Fatal(err)
	}
	i, err := formats.Open(path, disk.OpenOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { i.Close() })
	p := make([]byte, 1<<20)
	for k := range p {
		p[k] = byte(k)
	}
	for off := int64(0); off < benchSize; off += int64(len(p)) {
		if _, err := i.WriteAt(p, off); err != nil {
			b.Fatal(err)
		}
	}
	if err := i.Flush(); err != nil {
		b.Fatal(err)
	}
	return i.(disk.VectorImage)
}

// each runs op at random aligned offsets.
func each(b *testing.B, op func(off int64) error) {
	rng := rand.New(rand.NewPCG(1, 1))
	b.SetBytes(benchBlock)
	b.ReportAllocs()
	for b.Loop() {
		if err := op(rng.Int64N(benchSize/benchBlock) * benchBlock); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead4K reads random allocated 4 KiB blocks from memory's copy of the file, where only the format's own cost shows.
// It takes turns with the bare system call on a raw file and reports the ratio of the medians as x_pread, so that other load
// on the machine strikes both.
func BenchmarkRead4K(b *testing.B) {
	for _, s := range benchImages {
		b.Run(s.name, func(b *testing.B) {
			i, plain := full(b, s.file, s.o), full(b, "plain.raw", disk.CreateOptions{})
			f, err := os.Open(plain.Info().Path)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			fd, p := int(f.Fd()), make([]byte, benchBlock)
			const batch = 64
			var ours, theirs []time.Duration
			rng := rand.New(rand.NewPCG(1, 1))
			offsets := make([]int64, batch)
			timed := func(read func(off int64) (int, error)) time.Duration {
				start := time.Now()
				for _, off := range offsets {
					if _, err := read(off); err != nil {
						b.Fatal(err)
					}
				}
				return time.Since(start)
			}
			b.ReportAllocs()
			for b.Loop() {
				for k := range offsets {
					offsets[k] = rng.Int64N(benchSize/benchBlock) * benchBlock
				}
				ours = append(ours, timed(func(off int64) (int, error) { return i.ReadAt(p, off) }))
				theirs = append(theirs, timed(func(off int64) (int, error) { return unix.Pread(fd, p, off) }))
			}
			slices.Sort(ours)
			slices.Sort(theirs)
			mine, bare := ours[len(ours)/2], theirs[len(theirs)/2]
			b.ReportMetric(float64(mine.Nanoseconds())/batch, "ns/read")
			b.ReportMetric(float64(mine)/float64(bare), "x_pread")
		})
	}
}

// BenchmarkReadv4K is BenchmarkRead4K into four buffers, as a guest's pages are.
func BenchmarkReadv4K(b *testing.B) {
	for _, s := range benchImages {
		b.Run(s.name, func(b *testing.B) {
			i, p := full(b, s.file, s.o), make([]byte, benchBlock)
			bufs := [][]byte{p[:1024], p[1024:2048], p[2048:3072], p[3072:]}
			each(b, func(off int64) error {
				_, err := i.ReadvAt(bufs, off)
				return err
			})
		})
	}
}

// BenchmarkWrite4K overwrites random allocated 4 KiB blocks, which must go straight through.
func BenchmarkWrite4K(b *testing.B) {
	for _, s := range benchImages {
		b.Run(s.name, func(b *testing.B) {
			i, p := full(b, s.file, s.o), make([]byte, benchBlock)
			each(b, func(off int64) error {
				_, err := i.WriteAt(p, off)
				return err
			})
		})
	}
}

// BenchmarkFill writes a new image from start to end in requests of 64 KiB with a flush every 4 MiB: what allocation costs.
func BenchmarkFill(b *testing.B) {
	for _, s := range benchImages {
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(64 << 20)
			p := make([]byte, 64<<10)
			for b.Loop() {
				path := filepath.Join(disktest.Dir(b), s.file)
				o := s.o
				o.Size = 64 << 20
				if err := formats.Create(path, o); err != nil {
					b.Fatal(err)
				}
				i, err := formats.Open(path, disk.OpenOptions{})
				if err != nil {
					b.Fatal(err)
				}
				for off := int64(0); off < o.Size; off += int64(len(p)) {
					if _, err := i.WriteAt(p, off); err != nil {
						b.Fatal(err)
					}
					if off%(4<<20) == 0 {
						if err := i.Flush(); err != nil {
							b.Fatal(err)
						}
					}
				}
				if err := i.Close(); err != nil {
					b.Fatal(err)
				}
				os.RemoveAll(filepath.Dir(path))
			}
		})
	}
}

// childFiles are the formats whose images may have parents.
var childFiles = []string{"disk.vhd", "disk.vhdx", "disk.vmdk", "disk.qcow2"}

// child makes a child of an image without holes.
func child(b *testing.B, file string) disk.Image {
	b.Helper()
	parent := full(b, file, disk.CreateOptions{})
	base := parent.Info().Path
	parent.Close()
	path := filepath.Join(filepath.Dir(base), "child-"+file)
	if err := formats.Create(path, disk.CreateOptions{Parent: base}); err != nil {
		b.Fatal(err)
	}
	i, err := formats.Open(path, disk.OpenOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { i.Close() })
	return i
}

// BenchmarkChildWrite4K writes random 4 KiB blocks of a child, most of them for the first time: what copying up and bookkeeping cost.
func BenchmarkChildWrite4K(b *testing.B) {
	for _, file := range childFiles {
		b.Run(file[5:], func(b *testing.B) {
			i, p := child(b, file), make([]byte, benchBlock)
			each(b, func(off int64) error {
				_, err := i.WriteAt(p, off)
				return err
			})
		})
	}
}

// BenchmarkChildRead4K reads random 4 KiB blocks of a child that has every other one.
func BenchmarkChildRead4K(b *testing.B) {
	for _, file := range childFiles {
		b.Run(file[5:], func(b *testing.B) {
			i, p := child(b, file), make([]byte, benchBlock)
			for off := int64(0); off < benchSize; off += 2 * benchBlock {
				if _, err := i.WriteAt(p, off); err != nil {
					b.Fatal(err)
				}
			}
			if err := i.Flush(); err != nil {
				b.Fatal(err)
			}
			each(b, func(off int64) error {
				_, err := i.ReadAt(p, off)
				return err
			})
		})
	}
}
