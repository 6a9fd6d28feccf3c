package inflated_test

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
)

// benchSize is the size of the disks that are read, all of it data.
const benchSize = 256 << 20

// benchDisk makes a raw disk of programs, libraries and sources: those of Go.
func benchDisk(b *testing.B, path string) {
	root := strings.TrimSpace(disktest.FindTool(b, "go", "golang-go").Run("env", "GOROOT"))
	f, err := os.Create(path)
	must(b, err)
	defer f.Close()
	for n := int64(0); n < benchSize; {
		before := n
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() || n >= benchSize {
				return err
			}
			p, err := os.ReadFile(path)
			if err == nil {
				p = p[:min(int64(len(p)), benchSize-n)]
				n += int64(len(p))
				_, err = f.Write(p)
			}
			return err
		})
		must(b, err)
		if n == before {
			b.Skipf("there are no files in %s", root)
		}
	}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// step is how far apart qemu-img's reads are: far, and such that they come to every block.
const step = 40503<<12 + 4096

var completed = regexp.MustCompile(`completed in ([0-9.]+) seconds`)

// BenchmarkRandom reads 4 KiB at random, from one goroutine and from one for each processor, from the first touch on (cold) and after as many reads (warm), and
// reports how many times as many reads qemu-img bench does in the time: k/s are thousands of reads per second.
func BenchmarkRandom(b *testing.B) {
	qemu := disktest.FindTool(b, "qemu-img", "qemu-utils")
	dir := disktest.Dir(b)
	raw := filepath.Join(dir, "in.raw")
	benchDisk(b, raw)
	for _, c := range []struct{ name, file, format, options string }{
		{"streamOptimized", "s.vmdk", "vmdk", "subformat=streamOptimized"},
		{"qcow2 zlib", "z.qcow2", "qcow2", "compression_type=zlib"},
		{"qcow2 zstd", "t.qcow2", "qcow2", "compression_type=zstd"},
	} {
		path := filepath.Join(dir, c.file)
		args := []string{"convert", "-q", "-f", "raw", "-O", c.format, "-o", c.options, raw, path}
		if c.format == "qcow2" {
			args = append(args, "-c")
		}
		qemu.Run(args...)
		const theirs = 5000
		m := completed.FindStringSubmatch(qemu.Run("bench", "-f", c.format, "-c", strconv.Itoa(theirs), "-d", "1", "-s", "4096", "-S", strconv.Itoa(step), path))
		if m == nil {
			b.Fatal("qemu-img bench says nothing of time")
		}
		seconds, err := strconv.ParseFloat(m[1], 64)
		must(b, err)
		for _, readers := range []int{1, runtime.GOMAXPROCS(0)} {
			b.Run(c.name+"/"+strconv.Itoa(readers), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					i, err := formats.Open(path, disk.OpenOptions{ReadOnly: true})
					must(b, err)
					cold, warm := random(b, i, readers), random(b, i, readers)
					must(b, i.Close())
					b.ReportMetric(cold/1000, "cold-k/s")
					b.ReportMetric(warm/1000, "warm-k/s")
					b.ReportMetric(cold*seconds/theirs, "cold-x-qemu")
					b.ReportMetric(warm*seconds/theirs, "warm-x-qemu")
					b.ReportMetric(theirs/seconds/1000, "qemu-k/s")
				}
			})
		}
	}
}

// random returns how many reads there were per second of twice as many as the disk has blocks of 4 KiB.
func random(b *testing.B, i disk.Image, readers int) float64 {
	const reads = benchSize / 4096 * 2
	var wg sync.WaitGroup
	start := time.Now()
	for r := range readers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(r), 1))
			p := make([]byte, 4096)
			for range reads / readers {
				if _, err := i.ReadAt(p, rng.Int64N(benchSize/4096)*4096); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return reads / time.Since(start).Seconds()
}
