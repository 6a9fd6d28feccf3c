package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/sharevm/vmm/internal/bench/report"
)

// clones is how many machines from one snapshot run beside each other, clonesMiB what RAM each of them has.
const clones, clonesMiB = 20, 256

// densityRounds starts machines from one snapshot, each monitor's in its turn, and notes how much memory each adds.
func densityRounds(ctx context.Context, o options, f *files, r *report.Report) error {
	disk, err := newCacheDisk(f.modules)
	if err != nil {
		return err
	}
	defer disk.close()
	ours, err := newOurSaver(f, disk.dir, clonesMiB)
	if err != nil {
		return err
	}
	for _, s := range []saver{ours, newQEMUSaver(f, disk.dir, paintingMachine(f, clonesMiB))} {
		var none report.Report
		if err := s.prepare(ctx, o, clonesMiB, &none); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := s.crowd(ctx, r); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// crowd starts the clones.
func (s *saver) crowd(ctx context.Context, r *report.Report) error {
	var running []*saved
	defer func() {
		for _, g := range running {
			g.end()
		}
	}()
	curve, last := "", uint64(0)
	for n := range clones {
		g, err := s.goOn(ctx, screenPort+n)
		if err != nil {
			return fmt.Errorf("clone %d: %w", n+1, err)
		}
		running = append(running, g)
		total, err := pss(running)
		if err != nil {
			return err
		}
		curve += fmt.Sprintf(" %.1f", float64(total)/(1<<20))
		if n > 0 {
			r.Of("density-clone", "MiB", s.name).Add(float64(total-min(total, last)) / (1 << 20))
		}
		last = total
	}
	r.Note("%s: memory (PSS) of 1 to %d clones of %d MiB together, in MiB:%s", s.name, clones, clonesMiB, curve)
	return nil
}

// pss is what processes use of memory together, shared pages by their share, in bytes.
func pss(all []*saved) (total uint64, err error) {
	for _, g := range all {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", g.cmd.Process.Pid))
		if err != nil {
			return 0, err
		}
		_, rest, ok := strings.Cut(string(b), "\nPss:")
		line, _, _ := strings.Cut(rest, "\n")
		kib, e := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(line, "kB")), 10, 64)
		if !ok || e != nil {
			return 0, errors.New("smaps_rollup has no Pss")
		}
		total += kib << 10
	}
	return total, nil
}
