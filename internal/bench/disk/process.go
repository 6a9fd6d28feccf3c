package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/internal/bench/report"
)

// contestant is a program that does a job.
type contestant struct {
	name  string
	args  []string
	aside bool
	// wipe are files to remove before and after.
	wipe []string
}

// ran is what a process took.
type ran struct {
	took time.Duration
	peak int64 // bytes resident
}

func (c contestant) run(ctx context.Context) (r ran, err error) {
	wipe := func() {
		for _, w := range c.wipe {
			err = errors.Join(err, os.RemoveAll(w))
		}
	}
	wipe()
	defer wipe()
	ctx, cancel := context.WithTimeoutCause(ctx, tooLong, errTooLong)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	var output bytes.Buffer
	cmd.Stderr = &output
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	ended, peak := make(chan struct{}), make(chan int64)
	go func() { peak <- watchPeak(cmd.Process.Pid, ended) }()
	err = cmd.Wait()
	r.took = time.Since(start)
	close(ended)
	r.peak = <-peak
	if err != nil && context.Cause(ctx) == errTooLong {
		err = errTooLong
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w\n%s", strings.Join(c.args, " "), err, output.Bytes())
	}
	return r, nil
}

// tooLong is after how long a contestant is taken to hang: qemu-img 7.2 does so now and then where it writes VDI.
const tooLong = 2 * time.Minute

var errTooLong = errors.New("it hangs")

// watchPeak returns the most memory in bytes that a process was seen to have had resident until it ended. What wait4 tells counts what
// the process that started it had, too.
func watchPeak(pid int, ended <-chan struct{}) (peak int64) {
	const interval = 2 * time.Millisecond
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return peak
		case <-tick.C:
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue // it has ended
		}
		if m := highWater.FindSubmatch(status); m != nil {
			n, _ := strconv.ParseInt(string(m[1]), 10, 64)
			peak = max(peak, n*kib)
		}
	}
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s*(\d+) kB$`)

// slow is what a contestant may take before one round has to do.
const slow = 20 * time.Second

// compete lets contestants take turns and reports the milliseconds of each, and with memory their peaks.
func (b *bench) compete(ctx context.Context, name string, memory bool, list ...contestant) error {
	done := make([]bool, len(list))
	for round := range b.rounds {
		for k := range list {
			if round%2 == 1 { // whoever runs first has the colder machine
				k = len(list) - 1 - k
			}
			c := list[k]
			if done[k] {
				continue
			}
			r, err := c.run(ctx)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, errTooLong) && c.name != report.Ours {
				b.Note("%s, round %d: %s: it was not done after %v", name, round+1, c.name, tooLong)
				done[k] = true
				continue
			}
			if err != nil {
				return err
			}
			done[k] = r.took > slow
			b.say("%s, round %d: %s: %.2f s, %d MiB", name, round+1, c.name, r.took.Seconds(), r.peak/mib)
			s := b.Of(name, "ms", c.name)
			s.Aside = c.aside
			s.Add(float64(r.took.Microseconds()) / 1000)
			if memory && !c.aside {
				b.Of("memory-"+name, "MiB", c.name).Add(float64(r.peak) / mib)
			}
		}
	}
	return nil
}

const (
	qemuName   = "qemu-img"
	unsyncedBy = "qemu-img unsynced"
)

// converters are vmm and qemu-img with the same conversion to do.
func (b *bench) converters(in string, from, to format, unsynced bool) []contestant {
	out := b.path("out" + to.ext)
	hidden, _ := filepath.Glob(b.path(".out*"))
	wipe := append(hidden, out)
	list := []contestant{
		{name: report.Ours, args: b.vmmConvert(in, out, to), wipe: wipe},
		{name: qemuName, args: b.qemuConvert(in, out, from, to, "writeback"), wipe: wipe},
	}
	if unsynced {
		list = append(list, contestant{name: unsyncedBy, args: b.qemuConvert(in, out, from, to, "unsafe"), wipe: wipe, aside: true})
	}
	return list
}
