package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/internal/bench/report"
)

const (
	randomSize = 512 * mib
	// randomStep leads to each of the disk's 4 KiB blocks once before it returns to the first: qemu-img bench knows no other disorder.
	randomStep  = 7919 * blockSize
	blockSize   = 4 * kib
	randomCount = randomSize / blockSize
)

// access is a kind of access to measure: ours, and qemu-img bench's option for it.
type access struct {
	name string
	do   func(disk.Image, []byte, int64) error
	qemu []string
}

var accesses = []access{
	{"read", func(i disk.Image, p []byte, off int64) error { _, err := i.ReadAt(p, off); return err }, nil},
	{"write", func(i disk.Image, p []byte, off int64) error { _, err := i.WriteAt(p, off); return err }, []string{"-w"}},
}

// random measures 4 KiB accesses to allocated blocks. The peer pread (pwrite) is os.File on the raw disk.
func (b *bench) random(ctx context.Context) error {
	raw := b.path("dense.raw")
	if err := makeDisk(raw, randomSize, dense(randomSize)); err != nil {
		return err
	}
	paths, err := b.copies(ctx, raw, "dense")
	defer removeAll(paths)
	if err != nil {
		return err
	}
	for _, a := range accesses {
		for i, k := range kinds {
			if a.name == "write" && k.name == "stream" {
				continue // nobody else rewrites those
			}
			if err := b.randomOf(ctx, a, k, paths[i], raw); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) randomOf(ctx context.Context, a access, f format, path, raw string) error {
	name := "random-" + a.name + "-" + f.name
	var qemuDone bool
	for round := range b.rounds {
		own, again, err := timeAccesses(path, a)
		if err != nil {
			return err
		}
		direct, err := timeDirect(raw, a)
		if err != nil {
			return err
		}
		b.Of(name, "us", report.Ours).Add(micros(own))
		b.Of(name, "us", "p"+a.name).Add(micros(direct))
		if f.name == "stream" {
			b.Of(name+"-again", "us", report.Ours).Add(micros(again))
		}
		b.say("%s, round %d: vmm %.2f us, p%s %.2f us", name, round+1, micros(own), a.name, micros(direct))
		if qemuDone {
			continue
		}
		theirs, err := b.timeQEMU(ctx, path, f, a)
		if err != nil {
			return err
		}
		qemuDone = theirs > slow
		b.Of(name, "us", qemuName+" bench").Add(micros(theirs))
		if f.name == "stream" { // it remembers one grain, so that its second time is like its first
			b.Of(name+"-again", "us", qemuName+" bench").Add(micros(theirs))
		}
		b.say("%s, round %d: qemu-img bench %.2f us", name, round+1, micros(theirs))
	}
	return nil
}

func micros(all time.Duration) float64 { return all.Seconds() * 1e6 / randomCount }

// places calls do with the places of all accesses.
func places(do func(off int64) error) (time.Duration, error) {
	start := time.Now()
	for k, off := 0, int64(0); k < randomCount; k++ {
		if err := do(off); err != nil {
			return 0, err
		}
		off = (off + randomStep) % randomSize
	}
	return time.Since(start), nil
}

// timeDirect does the accesses to the raw file itself.
func timeDirect(path string, a access) (time.Duration, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	p := make([]byte, blockSize)
	do := f.ReadAt
	if a.name == "write" {
		do = f.WriteAt
	}
	return places(func(off int64) error { _, err := do(p, off); return err })
}

// timeAccesses does the accesses through the library, twice: only compressed formats remember the first time.
func timeAccesses(path string, a access) (first, again time.Duration, err error) {
	i, err := formats.Open(path, disk.OpenOptions{ReadOnly: a.qemu == nil})
	if err != nil {
		return 0, 0, err
	}
	defer i.Close()
	p := make([]byte, blockSize)
	do := func(off int64) error { return a.do(i, p, off) }
	if first, err = places(do); err != nil {
		return 0, 0, err
	}
	again, err = places(do)
	return first, again, err
}

var completed = regexp.MustCompile(`Run completed in ([0-9.]+) seconds`)

// timeQEMU has qemu-img do the same accesses, by the threads that are its default.
func (b *bench) timeQEMU(ctx context.Context, path string, f format, a access) (time.Duration, error) {
	args := append([]string{"bench", "-f", f.qemu, "-c", strconv.Itoa(randomCount), "-d", "1", "-s", strconv.Itoa(blockSize), "-S", strconv.Itoa(randomStep)}, a.qemu...)
	out, err := exec.CommandContext(ctx, b.qemu, append(args, path)...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("qemu-img bench: %w\n%s", err, out)
	}
	m := completed.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("qemu-img bench does not say how long it took:\n%s", out)
	}
	s, err := strconv.ParseFloat(string(m[1]), 64)
	return time.Duration(s * float64(time.Second)), err
}
