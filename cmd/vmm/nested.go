package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/images/nested"
	"github.com/sharevm/vmm/internal/debian"
	"github.com/sharevm/vmm/internal/size"
	"github.com/sharevm/vmm/machine"
	"github.com/spf13/cobra"
)

func newNested() *cobra.Command {
	var (
		c       nested.Config
		publish []string
		kernel  string
		accel   string
		memory  string
	)
	cmd := &cobra.Command{
		Use:   "nested [OPTIONS] -- COMMAND [ARG...]",
		Short: "Run a command where KVM is real, on hosts that have none",
		Long: `Boots a small Debian machine in QEMU whose emulated processor has virtualisation, and runs COMMAND in it: same files (the
host's, read-only, with a scratch layer on top), current folder (read-write), environment, terminal and exit status, as sudo would.
Inside, /dev/kvm runs any guest. It serves every program that needs KVM, not only vmm.

The kernel comes from Debian's packages, is downloaded once and cached. Status 125 means that the nested host itself failed,
124 that --timeout ran out; any other status is COMMAND's own.`,
		Example: `  vmm nested -- go test ./...
  vmm nested --cpus 2 -- ./their-test -v
  vmm nested --publish 8080:80 -- vmm run web.vmx`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, p := range publish {
				f, err := nested.ParseForward(p)
				if err != nil {
					return &exitError{exitUsage, err}
				}
				c.Publish = append(c.Publish, f)
			}
			if memory != "" {
				n, err := size.Parse(memory)
				if err != nil {
					return &exitError{exitUsage, fmt.Errorf("--mem: %w", err)}
				}
				c.MemoryMiB = int(n >> 20)
			}
			if os.Getenv("DISPLAY") != "" && !c.Isolated {
				var err error
				if c.X11, err = toDisplay(); err != nil {
					return err
				}
			}
			c.Patience = nestedPatience
			c.Args, c.Kernel, c.Accel = args, debian.Flavour(kernel), nested.Accel(accel)
			if v, _ := cmd.Flags().GetCount("verbose"); v > 0 {
				c.Console = os.Stderr
			}
			return runNested(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringVar(&memory, "mem", "", "`SIZE` of the nested host's memory (default 4G, or half of this host's)")
	f.IntVar(&c.CPUs, "cpus", 1, "number of virtual processors; each runs slower the more there are")
	f.DurationVar(&c.Timeout, "timeout", 0, "kill the command after this `TIME` (0: never)")
	f.StringArrayVar(&publish, "publish", nil, "forward a TCP port `HOST:GUEST` of the loopback into the nested host")
	f.StringArrayVar(&c.Shares, "share", nil, "one more `FOLDER` to share read-write")
	f.StringVar(&kernel, "kernel", "", "Debian kernel `FLAVOUR`: generic or cloud")
	f.StringVar(&accel, "accel", "", "how QEMU runs it: tcg, or `kvm` where this host's KVM nests")
	f.BoolVar(&c.Isolated, "isolated", false, "show the command only its folder and a small userland, not this host's files")
	return cmd
}

// runNested runs a command in the nested host and passes its exit status on.
func runNested(ctx context.Context, c nested.Config) error {
	p := newProgress(os.Stderr)
	c.Progress, c.Prepared = p.report, p.done
	status, err := nested.Run(ctx, c)
	p.done()
	if errors.Is(err, context.Canceled) {
		err = errors.New("ended by a signal")
	}
	if err != nil {
		return &exitError{status, err}
	}
	if status != 0 {
		return &exitError{status, nil}
	}
	return nil
}

// How long a command in the nested host may take to end by itself after a signal that ends programs: any command, and this program, whose guests may have to power off or
// to be saved.
const (
	nestedPatience = 10 * time.Second
	selfPatience   = 5 * time.Minute
)

// nestedSelf runs this program again, with the same arguments less the ones that asked for it, in the nested host.
func nestedSelf(ctx context.Context, args []string, c nested.Config) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file: %w", err)
	}
	c.Args = append([]string{self}, args...)
	c.Patience = selfPatience
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%d", nestedStart, started.UnixMilli()))
	return runNested(ctx, c)
}

// withoutNested are a command's arguments less the ones that ask for the nested host.
func withoutNested(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "--nested" || strings.HasPrefix(a, "--nested=") })
}

// nestedStart is the environment variable that tells the program in the nested host when it was started outside, in milliseconds
// of Unix time.
const nestedStart = "VMM_NESTED_START"

// maxNestedBoot is more than a nested host takes to start: a larger difference comes of a wrong clock.
const maxNestedBoot = 10 * time.Minute

// newTimeline begins the record of a machine's start where the user gave the command.
func newTimeline() *machine.Timeline {
	n, err := strconv.ParseInt(os.Getenv(nestedStart), 10, 64)
	outside := time.UnixMilli(n)
	begin, nestedHost := started, false
	if d := started.Sub(outside); err == nil && d >= 0 && d <= maxNestedBoot {
		begin, nestedHost = outside, true
	}
	t := machine.NewTimeline(begin)
	if nestedHost {
		t.AddAt("nested host up", started)
	}
	t.AddAt("program loaded and initialised", initialised)
	return t
}
