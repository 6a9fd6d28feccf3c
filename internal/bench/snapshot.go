package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sharevm/vmm/internal/bench/report"
)

// snapshotSizes are the guests' RAM, in MiB: what a restore takes should not depend on it.
var snapshotSizes = []int{512, 2048}

// caches are what a restore finds its files in.
var caches = []struct {
	name string
	drop bool
}{{"warm", false}, {"cold", true}}

// firstTime is our monitor where it does not know yet which pages are needed first.
const firstTime = "vmm, first time"

// snapshotRounds saves a guest with each monitor, and has it go on, round by round.
func snapshotRounds(ctx context.Context, o options, f *files, r *report.Report) error {
	disk, err := newCacheDisk(f.modules)
	if err != nil {
		return err
	}
	defer disk.close()
	if o.vmx != "" {
		all, mib, err := newFileSavers(f, disk.dir, o.vmx)
		if err != nil {
			return err
		}
		return compare(ctx, o, all, mib, r)
	}
	for _, mib := range snapshotSizes {
		ours, err := newOurSaver(f, disk.dir, mib)
		if err != nil {
			return err
		}
		if err := compare(ctx, o, []saver{ours, newQEMUSaver(f, disk.dir, paintingMachine(f, mib))}, mib, r); err != nil {
			return err
		}
	}
	return nil
}

// compare has all savers save their guest of that many MiB, and then go on in turns. The first is ours.
func compare(ctx context.Context, o options, all []saver, mib int, r *report.Report) error {
	for i := range all {
		if err := all[i].prepare(ctx, o, mib, r); err != nil {
			return fmt.Errorf("%s, %d MiB: %w", all[i].name, mib, err)
		}
	}
	first := all[0]
	first.name, first.first = firstTime, true
	turns := append(all[:len(all):len(all)], first)
	for round := range o.rounds {
		for _, cache := range caches {
			// Each goes first in some round: who does is slower where the processor is emulated, and its translations have to be made again.
			for i := range turns {
				s := turns[(round+i)%len(turns)]
				if err := s.measure(ctx, o, round, fmt.Sprintf("%d-%s", mib, cache.name), cache.drop, r); err != nil {
					return fmt.Errorf("%s, %d MiB, %s: %w", s.name, mib, cache.name, err)
				}
			}
		}
	}
	for _, s := range all {
		files, err := s.saved()
		if err != nil {
			return err
		}
		for _, path := range files {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepare saves the guest, and has one restore find out what later ones make use of.
func (s *saver) prepare(ctx context.Context, o options, mib int, r *report.Report) error {
	args := s.start()
	if o.verbose {
		restore, _ := s.restore(screenPort)
		fmt.Fprintf(os.Stderr, "%s, %d MiB:\n  %s\n  %s\n", s.name, mib, quoted(args), quoted(restore))
	}
	g, err := startSaved(ctx, args, nil)
	if err != nil {
		return err
	}
	defer g.end()
	if err := s.ready(g); err != nil {
		return fmt.Errorf("%w: %s", err, firstLine(g.errs.String()))
	}
	start := time.Now()
	if err := s.save(ctx); err != nil {
		return err
	}
	took := time.Since(start)
	r.Of(fmt.Sprintf("snapshot-%d-save", mib), "ms", s.name).Add(milliseconds(took))
	g.end()
	if !s.settle {
		return nil
	}
	first, err := s.goOn(ctx, screenPort)
	if err != nil {
		return err
	}
	defer first.end()
	if o.verbose {
		fmt.Fprintf(os.Stderr, "%s, %d MiB: saved in %v; first %v, %v\n", s.name, mib, took, first.pixels, first.key)
	}
	return first.recorded()
}

// measure has the guest go on once, and its first key answered.
func (s *saver) measure(ctx context.Context, o options, round int, name string, cold bool, r *report.Report) error {
	if s.first {
		back, err := s.forget()
		if err != nil {
			return err
		}
		defer back()
	}
	files, err := s.saved()
	if err != nil {
		return err
	}
	if cold {
		if err := drop(files); err != nil {
			return err
		}
	}
	g, err := s.goOn(ctx, screenPort)
	if err != nil {
		return err
	}
	defer g.end()
	u, err := usageOf(g.cmd.Process.Pid)
	if err != nil {
		return err
	}
	g.quit()
	name = "snapshot-" + name
	state, parts := g.devices()
	if state == 0 {
		state = g.loaded
	}
	add := func(what, unit string, value float64) {
		series := r.Of(name+"-"+what, unit, s.name)
		series.Aside = s.first
		series.Add(value)
	}
	add("pixels", "ms", milliseconds(g.pixels))
	add("key", "ms", milliseconds(g.key))
	add("devices", "ms", milliseconds(state))
	add("faults", "1", float64(u.faults))
	add("read", "MiB", float64(u.read)/(1<<20))
	if o.verbose {
		fmt.Fprintf(os.Stderr, "round %d: %s, %s: %v, %v, devices %v, %d faults, %d KiB read%s\n", round+1, s.name, name, g.pixels, g.key, state, u.faults, u.read>>10, parts)
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// saved is a monitor whose guest answers keys.
type saved struct {
	cmd    *exec.Cmd
	out    io.ReadCloser
	errs   strings.Builder
	dog    *time.Timer
	screen *viewer
	ended  bool
	// From the start of the process: the first right picture, and the first answered key.
	pixels, key time.Duration
	// loaded is how long the devices' state took as the one who asked for it sees it.
	loaded time.Duration
}

func startSaved(ctx context.Context, args []string, files []string) (*saved, error) {
	g := &saved{cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	g.cmd.Stderr = &g.errs
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		g.cmd.ExtraFiles = append(g.cmd.ExtraFiles, f)
	}
	var err error
	if g.out, err = g.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	g.dog = time.AfterFunc(limit, func() { _ = g.cmd.Process.Kill() })
	return g, nil
}

// says waits for a line on the console.
func (g *saved) says(what string) error {
	for lines := bufio.NewScanner(g.out); lines.Scan(); {
		if strings.Contains(lines.Text(), what) {
			g.dog.Stop()
			return nil
		}
	}
	return fmt.Errorf("the guest does not say %q", what)
}

// waits is when the guest that paints can be saved.
func waits(g *saved) error {
	if err := g.says("waiting for keys"); err != nil {
		return err
	}
	go func() { _, _ = io.Copy(io.Discard, g.out) }() // a pipe that is full would stop it
	return nil
}

// goOn has the guest go on from where it was saved, and waits for its answer to a key.
func (s *saver) goOn(ctx context.Context, port int) (*saved, error) {
	args, files := s.restore(port)
	start := time.Now()
	g, err := startSaved(ctx, args, files)
	if err != nil {
		return nil, err
	}
	go func() { _, _ = io.Copy(io.Discard, g.out) }()
	resumed := make(chan error, 1)
	go func() {
		var err error
		if s.resume != nil {
			g.loaded, err = s.resume(start.Add(limit))
		}
		resumed <- err
	}()
	err = g.look(s.picture, start, port)
	if e := <-resumed; err == nil {
		err = e
	}
	if err != nil {
		g.end()
		return nil, fmt.Errorf("%w: %s", err, firstLine(g.errs.String()))
	}
	g.dog.Stop()
	return g, nil
}

// look waits for the picture and presses a key.
func (g *saved) look(p picture, start time.Time, port int) (err error) {
	if g.screen, err = dialViewer(fmt.Sprint("127.0.0.1:", port), start.Add(limit)); err != nil {
		return err
	}
	if err := g.screen.await(p.right); err != nil {
		return fmt.Errorf("the first picture: %w", err)
	}
	g.pixels = time.Since(start)
	if err := g.screen.press(p.answered); err != nil {
		return fmt.Errorf("the answer to a key: %w", err)
	}
	g.key = time.Since(start)
	return nil
}

// recorded waits until our monitor has written which pages were needed first, and ends it. That is when its guest rests because it has answered, or on the third second.
func (g *saved) recorded() error {
	const firstUse, look, looks, longest = 3 * time.Second, 500 * time.Millisecond, 3, 30 * time.Second
	time.Sleep(firstUse)
	end, worked := time.Now().Add(longest), time.Duration(0)
	for idle := 0; idle < looks && time.Now().Before(end); idle++ {
		u, err := usageOf(g.cmd.Process.Pid)
		if err != nil {
			return err
		}
		if u.worked-worked > look*busy/100 {
			idle = -1
		}
		worked = u.worked
		time.Sleep(look)
	}
	g.quit()
	return nil
}

// quit has the monitor end by itself, so that it tells what it knows.
func (g *saved) quit() {
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	_ = g.cmd.Wait()
	g.end()
}

func (g *saved) end() {
	if g.ended {
		return
	}
	g.ended = true
	g.dog.Stop()
	if g.screen != nil {
		g.screen.close()
	}
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait() // it was killed
}

// timelineStep is a line of vmm run --timeline: when a step was reached, and how long after the one before.
var timelineStep = regexp.MustCompile(`(?m)^ *([\d.]+) ms +\+([\d.]+)  (.*)$`)

// devices is how long our monitor took for the state of processors and devices; parts are all steps of its start.
func (g *saved) devices() (took time.Duration, parts string) {
	for _, m := range timelineStep.FindAllStringSubmatch(g.errs.String(), -1) {
		ms, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			continue
		}
		parts += fmt.Sprintf("; %s +%s", m[3], m[2])
		if m[3] == "processors restored" || m[3] == "devices restored" {
			took += time.Duration(ms * float64(time.Millisecond))
		}
	}
	return took, parts
}

// usage is what a process has asked of its host.
type usage struct {
	faults uint64 // of pages
	read   uint64 // bytes, from disks
	worked time.Duration
}

func usageOf(pid int) (u usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// Behind the program's name, which may hold anything: state is field 3, minflt 10, majflt 12, utime 14, stime 15, in 10 ms.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return u, errors.New("/proc/PID/stat is too short")
	}
	for _, i := range []int{10 - 3, 12 - 3} {
		n, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			return u, err
		}
		u.faults += n
	}
	for _, i := range []int{14 - 3, 15 - 3} {
		const tick = 10 * time.Millisecond
		n, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			return u, err
		}
		u.worked += time.Duration(n) * tick
	}
	io, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return u, err
	}
	for l := range strings.Lines(string(io)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(l), "read_bytes: "); ok {
			u.read, err = strconv.ParseUint(n, 10, 64)
		}
	}
	return u, err
}
