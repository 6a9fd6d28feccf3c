package tools_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
)

// benchSize is the size of the disks that are converted, three quarters of them data.
const benchSize = 256 * mib

// qemuNames are what qemu-img calls the formats.
var qemuNames = map[string]string{"raw": "raw", "vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx", "vdi": "vdi", "qcow2": "qcow2"}

// benchDisk makes a raw disk of holes, noise, text and pages that are half empty, a MiB of each in turn.
func benchDisk(b *testing.B, path string) {
	p := make([]byte, mib)
	rng := rand.New(rand.NewPCG(1, 2))
	f, err := os.Create(path)
	must(b, err)
	defer f.Close()
	must(b, f.Truncate(benchSize))
	for at := int64(0); at < benchSize; at += mib {
		switch (at / mib) % 4 {
		case 0:
			continue
		case 1:
			for k := range p {
				p[k] = byte(rng.Uint32())
			}
		case 2:
			copy(p, bytes.Repeat(fmt.Appendf(nil, "the quick brown fox jumps over dog %d. ", at), mib/32))
		case 3:
			for k := range p {
				p[k] = byte(rng.Uint32()) * byte(k>>11&1)
			}
		}
		_, err := f.WriteAt(p, at)
		must(b, err)
	}
}

// BenchmarkConvert takes turns with qemu-img and reports the ratio of the medians as x_qemu: how many times as long qemu-img takes.
func BenchmarkConvert(b *testing.B) {
	qemu := disktest.FindTool(b, "qemu-img", "qemu-utils")
	d := dir(b)
	benchDisk(b, in(d, "in.raw"))
	type pair struct{ from, to, variant string }
	var pairs []pair
	for _, f := range formats.All() {
		if f.Name != "raw" {
			pairs = append(pairs, pair{"raw", f.Name, ""}, pair{f.Name, "raw", ""})
		}
	}
	pairs = append(pairs, pair{"raw", "raw", ""}, pair{"vmdk", "vhdx", ""}, pair{"vhdx", "vmdk", ""}, pair{"raw", "vmdk", "streamOptimized"})
	for _, p := range pairs {
		b.Run(p.from+"-"+p.to+p.variant, func(b *testing.B) {
			src := in(d, "in."+p.from)
			if _, err := os.Stat(src); err != nil {
				_, err := tools.Convert(b.Context(), in(d, "in.raw"), src, tools.ConvertOptions{})
				must(b, err)
			}
			dst := in(d, "out."+p.to)
			var ours, theirs []time.Duration
			timed := func(run func()) time.Duration {
				start := time.Now()
				run()
				took := time.Since(start)
				must(b, os.Remove(dst))
				return took
			}
			args := []string{"convert", "-f", qemuNames[p.from], "-O", qemuNames[p.to]}
			if p.variant != "" {
				args = append(args, "-o", "subformat="+p.variant)
			}
			args = append(args, src, dst)
			b.SetBytes(benchSize)
			for b.Loop() {
				ours = append(ours, timed(func() {
					_, err := tools.Convert(b.Context(), src, dst, tools.ConvertOptions{Out: disk.CreateOptions{Variant: p.variant}})
					must(b, err)
				}))
				theirs = append(theirs, timed(func() { qemu.Run(args...) }))
			}
			report(b, ours, theirs)
		})
	}
}

// BenchmarkCompare compares a raw disk with its copy in each format, in turns with qemu-img.
func BenchmarkCompare(b *testing.B) {
	qemu := disktest.FindTool(b, "qemu-img", "qemu-utils")
	d := dir(b)
	benchDisk(b, in(d, "in.raw"))
	for _, f := range formats.All() {
		b.Run(f.Name, func(b *testing.B) {
			path := in(d, "copy."+f.Name)
			_, err := tools.Convert(b.Context(), in(d, "in.raw"), path, tools.ConvertOptions{})
			must(b, err)
			x, y := open(b, in(d, "in.raw")), open(b, path)
			var ours, theirs []time.Duration
			b.SetBytes(benchSize)
			for b.Loop() {
				start := time.Now()
				diff, err := tools.Compare(b.Context(), x, y, tools.CompareOptions{})
				if err != nil || diff != nil {
					b.Fatal(diff, err)
				}
				ours = append(ours, time.Since(start))
				start = time.Now()
				qemu.Run("compare", "-q", "-f", "raw", "-F", qemuNames[f.Name], in(d, "in.raw"), path)
				theirs = append(theirs, time.Since(start))
			}
			report(b, ours, theirs)
		})
	}
}

func report(b *testing.B, ours, theirs []time.Duration) {
	slices.Sort(ours)
	slices.Sort(theirs)
	mine, other := ours[len(ours)/2], theirs[len(theirs)/2]
	b.ReportMetric(float64(mine.Milliseconds()), "ms/ours")
	b.ReportMetric(float64(other.Milliseconds()), "ms/qemu")
	b.ReportMetric(float64(other)/float64(mine), "x_qemu")
}
