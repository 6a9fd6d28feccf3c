package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sharevm/vmm/internal/bench/line"
	"github.com/sharevm/vmm/internal/bench/report"
)

const (
	// spinTurns is how often in a round the machine behind is stopped and let go on: the host's own speed changes too, and slower than that.
	spinTurns = 8
	// spinSkipped and spinCounted are seconds after each of these.
	spinSkipped = 1
	spinCounted = 3
)

// backgroundRounds measures what a machine that boots in the background costs the one in front when both want the host's only processor.
func backgroundRounds(ctx context.Context, o options, f *files, r *report.Report) error {
	const name, unit = "background", "k/s" // thousands of steps
	front, alone := r.RateOf(name, unit, report.Ours), r.RateOf(name, unit, "in front, alone")
	costs, shares := &report.Series{}, &report.Series{}
	for range o.rounds {
		err := spinRound(ctx, f, func(with, without, share float64) {
			front.Add(with)
			alone.Add(without)
			costs.Add(100 * (1 - with/without))
			shares.Add(100 * share)
			if o.verbose {
				fmt.Fprintf(os.Stderr, "in front %.0f, alone %.0f; the one behind has %.1f %% of the processor\n", with, without, 100*share)
			}
		})
		if err != nil {
			return fmt.Errorf("background: %w", err)
		}
	}
	least, most := costs.Range()
	r.Note("background: vmm is the machine in front of a session while another one boots behind it (BIOS, GRUB, Linux), alone the same while that one is stopped, in turns; one processor. The machine in front gets %.1f %% less done (median; %.1f to %.1f), the one behind has %.1f %% of the processor",
		costs.Median(), least, most, shares.Median())
	return nil
}

// spinRound runs a session of a busy machine and one that boots. pair is told what the one in front gets done in a second, with the other one and without, and the part of the
// processor that the other one had.
func spinRound(ctx context.Context, f *files, pair func(with, without, share float64)) error {
	ctx, cancel := context.WithTimeout(ctx, 4*limit)
	defer cancel()
	busy := [][2]string{{"vmm.kernel", f.kernels[formats[0]]}, {"vmm.initrd", f.initrd}, {"vmm.cmdline", cmdline + " -- " + line.Spin}}
	s, err := startSession(ctx, f, busy, f.fromDisk())
	if err != nil {
		return err
	}
	defer s.end()
	next := func() (rate float64, err error) {
		for {
			text, err := s.line()
			if err != nil {
				return 0, err
			}
			if strings.HasPrefix(text, behindName+": "+line.Init) {
				return 0, fmt.Errorf("the machine behind has booted before the end")
			}
			if rate, ok := line.ParseSpin(text); ok {
				return rate, nil
			}
		}
	}
	count := func() (rate float64, err error) {
		for n := range spinSkipped + spinCounted {
			r, err := next()
			if err != nil {
				return 0, err
			}
			if n >= spinSkipped {
				rate += r / spinCounted
			}
		}
		return rate, nil
	}
	// The one behind is a process soon, and begins to be a machine when it gets round to it.
	var behind *os.Process
	for behind == nil {
		if _, err := next(); err != nil {
			return err
		}
		if behind, err = s.process(ctx, behindName); err != nil {
			return err
		}
	}
	for range spinTurns {
		began, before := time.Now(), processorTime(behind.Pid)
		with, err := count()
		if err != nil {
			return err
		}
		share := (processorTime(behind.Pid) - before).Seconds() / time.Since(began).Seconds()
		// By signals, because what it is asked it would answer late.
		if err := behind.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		without, err := count()
		if err != nil {
			return err
		}
		if err := behind.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		pair(with, without, share)
	}
	return nil
}

// processorTime is what all threads of a process have run so far (/proc/PID/task/TID/schedstat); 0 when it has ended.
func processorTime(pid int) (total time.Duration) {
	all, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is right
	for _, name := range all {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(b), " ")
		ns, _ := strconv.ParseInt(first, 10, 64) // the kernel writes a number
		total += time.Duration(ns)
	}
	return total
}
