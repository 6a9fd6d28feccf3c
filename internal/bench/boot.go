package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sharevm/vmm/internal/bench/line"
	"github.com/sharevm/vmm/internal/bench/report"
)

// limit is how long a guest may take: ten times what it needs in the nested host on a quiet machine.
const limit = 60 * time.Second

// booted is what one boot of one monitor showed.
type booted struct {
	toMark time.Duration // from the start of the process
	memory footprint
	rested footprint // after idleTime
}

// idleTime is how long a guest has nothing to do before its monitor's memory is measured once more: by then a monitor has given back what it is going to.
const idleTime = 10 * time.Second

// boot starts a monitor, waits until its guest says mark, looks at its memory if that is wanted, and again after idleTime if that is, and ends it.
func boot(ctx context.Context, args []string, mark string, wantMemory, wantRest bool) (booted, error) {
	var b booted
	var console tail
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	var complaints strings.Builder
	c.Stderr = &complaints
	out, err := c.StdoutPipe()
	if err != nil {
		return b, err
	}
	start := time.Now()
	if err := c.Start(); err != nil {
		return b, err
	}
	var late atomic.Bool
	watchdog := time.AfterFunc(limit, func() {
		late.Store(true)
		_ = c.Process.Signal(syscall.SIGQUIT) // ours then says what it waits for
		time.AfterFunc(time.Second, func() { _ = c.Process.Kill() })
	})
	err = fmt.Errorf("the guest ended before it said %q", mark)
	for s := bufio.NewScanner(out); s.Scan(); {
		text := strings.TrimSpace(s.Text())
		console.add(text)
		if b.toMark == 0 && strings.Contains(text, mark) {
			b.toMark = time.Since(start)
			if err = nil; !wantMemory {
				break
			}
			err = errors.New("the guest ended before its devices worked")
		}
		if _, why, failed := strings.Cut(text, line.Failed); failed {
			err = fmt.Errorf("the guest's devices: %s", why)
			console.add(text)
		}
		if strings.HasSuffix(text, line.Ready) {
			var memErr error
			if b.memory, memErr = measureMemory(c.Process.Pid, ramMiB<<20); memErr != nil {
				err = memErr
			} else if err != nil && !strings.HasPrefix(err.Error(), "the guest's devices") {
				err = nil
			}
			if wantRest && err == nil {
				watchdog.Stop()
				select {
				case <-time.After(idleTime):
					b.rested, err = measureMemory(c.Process.Pid, ramMiB<<20)
				case <-ctx.Done():
				}
			}
			break
		}
	}
	watchdog.Stop()
	if !late.Load() {
		_ = c.Process.Kill()
	}
	_ = c.Wait() // it was killed
	if late.Load() {
		err = fmt.Errorf("nothing more was heard for %v", limit)
	}
	if err != nil {
		err = fmt.Errorf("%w; the console's end: %s; standard error: %s", err, console.String(), firstLine(complaints.String()))
	}
	return b, err
}

// tail keeps the last lines of a console.
type tail struct{ lines []string }

func (t *tail) add(s string) {
	const most = 5
	if t.lines = append(t.lines, s); len(t.lines) > most {
		t.lines = t.lines[1:]
	}
}

func (t *tail) String() string { return fmt.Sprintf("%q", t.lines) }

// giveUp is after how many failures in a row a monitor is left out of the rounds.
const giveUp = 2

// bootRounds lets the monitors take turns.
func bootRounds(ctx context.Context, o options, f *files, r *report.Report) error {
	disk := filepath.Join(f.dir, "disk.raw")
	if err := os.WriteFile(disk, nil, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(disk, 64<<20); err != nil {
		return err
	}
	failures := make(map[string]int)
	for round := range o.rounds {
		for _, format := range formats {
			for _, p := range peers {
				who := p.name + " " + format
				wantMemory := o.only != "boot"
				wantRest := o.only == "memory" && format == formats[0]
				if failures[who] >= giveUp || p.name == noNIC && (format != formats[0] || !wantMemory) {
					continue
				}
				args, err := p.command(f, f.kernels[format], disk)
				if err != nil {
					return err
				}
				if o.verbose && round == 0 {
					fmt.Fprintf(os.Stderr, "%s, %s:\n  %s\n", p.name, format, quoted(args))
				}
				b, err := boot(ctx, args, line.Init, wantMemory, wantRest)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if b.toMark > 0 && o.only != "memory" && p.name != noNIC {
					r.Of("boot-"+format, "ms", p.name).Add(float64(b.toMark.Microseconds()) / 1000)
				}
				if o.verbose {
					fmt.Fprintf(os.Stderr, "round %d: %s: %v, %d KiB beside RAM, %d KiB of them anonymous; %v\n", round+1, who, b.toMark.Round(time.Millisecond), b.memory.pss>>10, b.memory.anonymous>>10, err)
				}
				if err != nil {
					failures[who]++
					r.Note("round %d: %s: %v", round+1, who, err)
					continue
				}
				failures[who] = 0
				if wantMemory {
					memory := func(name string, bytes uint64) {
						s := r.Of(name+format, "MiB", p.name)
						s.Aside = p.name == noNIC
						s.Add(float64(bytes) / (1 << 20))
					}
					memory("memory-pss-", b.memory.pss)
					memory("memory-anonymous-", b.memory.anonymous)
					if wantRest {
						memory("memory-rested-pss-", b.rested.pss)
						memory("memory-rested-anonymous-", b.rested.anonymous)
					}
				}
			}
		}
	}
	return nil
}

// quoted writes a command as a shell takes it.
func quoted(args []string) string {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		if a == "" || strings.ContainsAny(a, " '\"$") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		b.WriteString(a)
	}
	return b.String()
}

// firstLine is enough of a peer's last words: the rest may be the state of all its threads.
func firstLine(s string) string {
	line, _, more := strings.Cut(strings.TrimSpace(s), "\n")
	if more {
		line += " ..."
	}
	return line
}
