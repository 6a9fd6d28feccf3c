package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sharevm/vmm/internal/size"
)

// topFlags are the options of vmm top.
type topFlags struct {
	once   bool
	json   bool
	wait   time.Duration
	rounds int // to end after; 0 never does
}

func newTop() *cobra.Command {
	var fl topFlags
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch what the running machines use",
		Long: `Shows what each running machine uses of this host, the busiest first, until Ctrl-C: processors (100% is one of them, what the machine's process does for its guest included), memory
(resident, and the guest's whole), bytes a second of disks and network cards, and how often a second the guest's processors hand over to vmm. Where the output is no terminal,
each round is a table of its own.`,
		Example: `  vmm top
  vmm top --once                    one round, over a second
  vmm top --json --interval 5s      a line of JSON for each round`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if fl.wait < minInterval {
				return &exitError{exitUsage, fmt.Errorf("--interval %v: want %v or more", fl.wait, minInterval)}
			}
			if fl.once {
				fl.rounds = 1
			}
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt)
			defer stop()
			return fl.watch(ctx, c.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&fl.once, "once", false, "end after one round")
	c.Flags().BoolVar(&fl.json, "json", false, "print JSON, a line for each round")
	c.Flags().DurationVar(&fl.wait, "interval", time.Second, "how `LONG` a round is")
	return c
}

// minInterval keeps the watching from costing more than what is watched.
const minInterval = 100 * time.Millisecond

// watch prints rounds until ctx ends.
func (fl *topFlags) watch(ctx context.Context, out io.Writer) error {
	show := fl.plain(out)
	if f, ok := out.(*os.File); ok && !fl.json && !fl.once && term.IsTerminal(int(f.Fd())) {
		// The screen that programs have for themselves, with the cursor hidden; what was there before comes back at the end.
		fmt.Fprint(f, "\x1b[?1049h\x1b[?25l")
		defer fmt.Fprint(f, "\x1b[?25h\x1b[?1049l")
		show = func(round []usage) error { return drawTop(f, round) }
	}
	tick := time.NewTicker(fl.wait)
	defer tick.Stop()
	last, err := takeSamples(ctx)
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		now, err := takeSamples(ctx)
		if err != nil {
			return err
		}
		if ctx.Err() != nil { // the answers were cut short
			return nil
		}
		if err := show(usages(last, now)); err != nil {
			return err
		}
		if n == fl.rounds {
			return nil
		}
		last = now
	}
}

// plain returns what prints rounds one below the other.
func (fl *topFlags) plain(out io.Writer) func([]usage) error {
	if fl.json {
		e := json.NewEncoder(out)
		return func(round []usage) error { return e.Encode(round) }
	}
	first := true
	return func(round []usage) error {
		if !first {
			fmt.Fprintln(out)
		}
		first = false
		return writeUsages(out, round)
	}
}

// drawTop draws a round over the last one, as much of it as fits.
func drawTop(f *os.File, round []usage) error {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 1 || height < 1 {
		return errors.Join(errors.New("the size of the terminal"), err)
	}
	var table bytes.Buffer
	if err := writeUsages(&table, round); err != nil {
		return err
	}
	_, err = f.WriteString("\x1b[H" + crop(table.String(), width, height) + "\x1b[J")
	return err
}

// crop is the part of a text that fits a terminal, for drawing over another.
func crop(text string, width, height int) string {
	var b strings.Builder
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if i == height {
			break
		}
		if i > 0 {
			b.WriteString("\r\n")
		}
		if r := []rune(line); len(r) > width {
			line = string(r[:width])
		}
		b.WriteString(line + "\x1b[K")
	}
	return b.String()
}

// writeUsages prints a table.
func writeUsages(w io.Writer, round []usage) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tSTATE\tCPU\tRESIDENT\tMEMORY\tDISK READ/s\tWRITTEN/s\tREQUESTS/s\tNET IN/s\tOUT/s\tEXITS/s\tNAME")
	for _, u := range round {
		if u.Error != "" {
			fmt.Fprintf(t, "%s\t?\t\t\t\t\t\t\t\t\t\t%s\n", u.ID, printable(u.Error))
			continue
		}
		bytes := func(n float64) string { return size.Format(int64(n)) }
		fmt.Fprintf(t, "%s\t%s\t%.0f%%\t%s\t%s\t%s\t%s\t%.0f\t%s\t%s\t%.0f\t%s\n", u.ID, printable(u.State), 100*u.CPU, size.Format(u.Resident), size.Format(u.Memory),
			bytes(u.DiskRead), bytes(u.DiskWritten), u.DiskRequests, bytes(u.NetIn), bytes(u.NetOut), u.Exits, printable(u.Name))
	}
	return t.Flush()
}
