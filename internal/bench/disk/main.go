package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sharevm/vmm/internal/bench/report"
)

// bench is a run of the benchmark.
type bench struct {
	report.Report
	rounds  int
	verbose bool
	dir     string
	vmm     string // path of the binary
	qemu    string // path of qemu-img
}

// parts are what can be measured alone.
var parts = []struct {
	name    string
	measure func(*bench, context.Context) error
}{
	{"convert", (*bench).convert},
	{"sparse", (*bench).sparse},
	{"huge", (*bench).huge},
	{"lookup", (*bench).lookup},
	{"random", (*bench).random},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	var b bench
	f := flag.NewFlagSet("disk", flag.ContinueOnError)
	only := f.String("only", "", "measure only these, separated by commas: "+strings.Join(names, ","))
	asJSON := f.Bool("json", false, "print the figures as JSON instead of tables")
	f.IntVar(&b.rounds, "rounds", 3, "rounds, of which medians are taken")
	f.BoolVar(&b.verbose, "verbose", false, "print each round on standard error")
	f.StringVar(&b.dir, "dir", "out/bench-disk", "folder for images; needs 12 GiB for a while")
	f.StringVar(&b.vmm, "vmm", "bin/vmm", "the binary to measure")
	if err := f.Parse(args); err != nil {
		return err
	}
	chosen := strings.Split(*only, ",")
	for _, c := range chosen {
		if c != "" && !slices.Contains(names, c) || f.NArg() > 0 || b.rounds < 1 {
			f.Usage()
			return flag.ErrHelp
		}
	}
	var err error
	if b.qemu, err = exec.LookPath("qemu-img"); err != nil {
		return fmt.Errorf("the peer is missing (Debian's package qemu-utils): %w", err)
	}
	if b.vmm, err = filepath.Abs(b.vmm); err != nil {
		return err
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(b.dir, "run-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	for _, p := range parts {
		if *only != "" && !slices.Contains(chosen, p.name) {
			continue
		}
		if err := p.measure(&b, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if *asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(b.Report)
	}
	b.Write(os.Stdout)
	return nil
}

// say tells of a round.
func (b *bench) say(format string, args ...any) {
	if b.verbose {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }
