package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sharevm/vmm/internal/size"
	"github.com/sharevm/vmm/machine/journal"
)

// logsFlags are the options of vmm logs.
type logsFlags struct {
	follow bool
	lines  int
	json   bool
}

func newLogs() *cobra.Command {
	var fl logsFlags
	c := &cobra.Command{
		Use:   "logs [MACHINE]",
		Short: "Show what a machine has said, also one that has ended",
		Long: `Shows what a machine's guest has printed on its console, and what its process has said, line by line with the time (UTC). Without MACHINE it lists the machines of which something
is kept. The files are in $XDG_STATE_HOME/vmm (~/.local/state/vmm): at most 2 MiB for each machine, of the 100 machines that ran last. Control characters are left out, and a
guest that prints much too fast is cut short. vmm run --no-log keeps nothing.`,
		Example: `  vmm logs
  vmm logs windows -n 20
  vmm logs -f debian
  vmm logs debian --json | jq -r 'select(.source == "vmm") | .text'`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeLogs,
		RunE: func(c *cobra.Command, args []string) error {
			folder, err := journal.Folder()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return fl.list(folder, c.OutOrStdout())
			}
			return fl.show(c, folder, args[0])
		},
	}
	f := c.Flags()
	f.BoolVarP(&fl.follow, "follow", "f", false, "go on until the machine ends")
	f.IntVarP(&fl.lines, "lines", "n", -1, "show the last `NUMBER` of lines (default all)")
	f.BoolVar(&fl.json, "json", false, "print JSON: a line for each line, or the list")
	return c
}

func (fl *logsFlags) list(folder string, out io.Writer) error {
	all, err := journal.List(folder)
	if err != nil {
		return err
	}
	if fl.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(append([]journal.Kept{}, all...)) // an empty list rather than null
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tLAST LINE\tSIZE\tSTATE")
	for _, k := range all {
		state := "ended"
		if k.Running {
			state = "running"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", printable(k.ID), time.Unix(k.Last, 0).UTC().Format(time.DateTime), size.Format(k.Size), state)
	}
	return t.Flush()
}

func (fl *logsFlags) show(c *cobra.Command, folder, id string) error {
	out := c.OutOrStdout()
	encoder := json.NewEncoder(out)
	write := func(e journal.Entry) error {
		if fl.json {
			return encoder.Encode(e)
		}
		_, err := fmt.Fprintln(out, e)
		return err
	}
	skip := 0
	if fl.lines >= 0 {
		total := 0
		if err := journal.Read(folder, id, func(journal.Entry) error { total++; return nil }); err != nil {
			return err
		}
		skip = total - fl.lines
	}
	each := func(e journal.Entry) error {
		if skip--; skip >= 0 {
			return nil
		}
		return write(e)
	}
	if !fl.follow {
		return journal.Read(folder, id, each)
	}
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt)
	defer stop()
	return journal.Follow(ctx, folder, id, each)
}

// completeLogs completes the ids of machines of which something is kept.
func completeLogs(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	if folder, err := journal.Folder(); err == nil {
		all, _ := journal.List(folder)
		for _, k := range all {
			ids = append(ids, k.ID)
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
