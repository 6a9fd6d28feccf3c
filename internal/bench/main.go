package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/sharevm/vmm/internal/bench/report"
)

// options are what both the outer and the inner process are told.
type options struct {
	rounds  int
	only    string
	json    bool
	verbose bool
	dir     string // where files are built, shared with the nested host
	vmx     string // the machine to save in place of the painting one, or to start; "" for none
	kernel  string // folder of a small kernel to start that machine with as well; "" for none
}

// saves says whether guests are to be saved.
func (o *options) saves() bool { return o.only == "snapshot" || o.only == "density" }

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
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.rounds, "rounds", 5, "rounds, of which medians are taken")
	f.StringVar(&o.only, "only", "", "measure only start, boot, memory, firmware, exits, network, block, snapshot, density, instant, background, switch or screen")
	f.BoolVar(&o.json, "json", false, "print the figures as JSON instead of tables")
	f.BoolVar(&o.verbose, "verbose", false, "print commands and single rounds on standard error")
	f.StringVar(&o.dir, "dir", "out/bench", "folder for what is built")
	f.StringVar(&o.vmx, "vmx", "", "with -only snapshot: save and restore the machine of this .vmx, once its picture has settled, and QEMU the same where a kernel starts it; its folder lies below the current one; "+
		"with -only instant: the machine to start, made by make image-browser")
	f.StringVar(&o.kernel, "kernel", "", "with -only instant: start the machine in turns with the small kernel of this folder, too (make kernel-browser)")
	inner := len(args) > 0 && args[0] == innerCommand
	if inner {
		args = args[1:]
	}
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.rounds < 1 || !wellKnown(o.only) || !o.fits() {
		f.Usage()
		return flag.ErrHelp
	}
	if inner {
		return runInner(ctx, o)
	}
	return runOuter(ctx, o)
}

// fits says whether the options fit together.
func (o *options) fits() bool {
	if o.only == "instant" {
		return o.vmx != ""
	}
	return o.kernel == "" && (o.vmx == "" || o.only == "snapshot")
}

func wellKnown(only string) bool {
	switch only {
	case "", "start", "boot", "memory", "firmware", "exits", "network", "block", "snapshot", "density", "instant", "background", "switch", "screen":
		return true
	}
	return false
}

func runOuter(ctx context.Context, o options) error {
	var r report.Report
	if o.only == "" || o.only == "exits" {
		if err := measureExits(ctx, o, &r); err != nil {
			return fmt.Errorf("exits: %w", err)
		}
	}
	if o.only == "" || o.only == "start" {
		if err := measureStart(ctx, o, &r); err != nil {
			return fmt.Errorf("start: %w", err)
		}
	}
	switch o.only {
	case "exits":
	case "instant":
		if err := measureInstant(ctx, o, &r); err != nil {
			return fmt.Errorf("instant: %w", err)
		}
	default:
		if err := measureNested(ctx, o, &r); err != nil {
			return err
		}
	}
	if o.json {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	r.Write(os.Stdout)
	return nil
}
