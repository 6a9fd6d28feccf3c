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

// random measures 4 KiB accesses to allocated blocks. The peer pread (pwrite) is os.File at the same places of the same file, so that both find the same
// pages in the page cache; of a compressed image, which has no such places, on the raw disk.
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
	direct := target{path: raw}
	if f.name != "stream" {
		var err error
		if direct, err = targetOf(path); err != nil {
			return err
		}
	}
	var qemuDone bool
	for round := range b.rounds {
		own, again, err := timeAccesses(path, a)
		if err != nil {
			return err
		}
		plain, err := direct.time(a)
		if err != nil {
			return err
		}
		b.Of(name, "us", report.Ours).Add(micros(own))
		b.Of(name, "us", "p"+a.name).Add(micros(plain))
		if f.name == "stream" {
			b.Of(name+"-again", "us", report.Ours).Add(micros(again))
		}
		b.say("%s, round %d: vmm %.2f us, p%s %.2f us", name, round+1, micros(own), a.name, micros(plain))
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

// places calls do with the number and the place of each access.
func places(do func(k int, off int64) error) (time.Duration, error) {
	start := time.Now()
	for k, off := 0, int64(0); k < randomCount; k++ {
		if err := do(k, off); err != nil {
			return 0, err
		}
		off = (off + randomStep) % randomSize
	}
	return time.Since(start), nil
}

// target is a file that is accessed without the library.
type target struct {
	path string
	at   []int64 // where the file holds the disk's blocks, in the order of the accesses; nil if it is the disk
}

// targetOf returns the places of an image's blocks in its file.
func targetOf(path string) (target, error) {
	i, err := formats.Open(path, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		return target{}, err
	}
	defer i.Close()
	hosts := make([]int64, randomCount)
	everywhere := true
	err = i.Extents(0, randomSize, func(e disk.Extent) bool {
		everywhere = e.Host >= 0
		for off := e.Offset; off < e.Offset+e.Length; off += blockSize {
			hosts[off/blockSize] = e.Host + off - e.Offset
		}
		return everywhere
	})
	if err != nil {
		return target{}, err
	}
	if !everywhere {
		return target{}, fmt.Errorf("%s: a block of the disk has no place in the file", path)
	}
	t := target{path: path, at: make([]int64, randomCount)}
	_, err = places(func(k int, off int64) error { t.at[k] = hosts[off/blockSize]; return nil })
	return t, err
}

// time does the accesses to the file itself.
func (t target) time(a access) (time.Duration, error) {
	f, err := os.OpenFile(t.path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	p := make([]byte, blockSize)
	do := f.ReadAt
	if a.name == "write" {
		do = f.WriteAt
	}
	return places(func(k int, off int64) error {
		if t.at != nil {
			off = t.at[k]
		}
		_, err := do(p, off)
		return err
	})
}

// timeAccesses does the accesses through the library, twice: only compressed formats remember the first time.
func timeAccesses(path string, a access) (first, again time.Duration, err error) {
	i, err := formats.Open(path, disk.OpenOptions{ReadOnly: a.qemu == nil})
	if err != nil {
		return 0, 0, err
	}
	defer i.Close()
	p := make([]byte, blockSize)
	do := func(_ int, off int64) error { return a.do(i, p, off) }
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
