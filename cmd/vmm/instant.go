package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sharevm/vmm/internal/size"
	"github.com/sharevm/vmm/machine/instant"
)

func newInstant() *cobra.Command {
	c := &cobra.Command{
		Use:   "instant",
		Short: "Machines that start in a blink, from snapshots that are made for them",
		Long: `A machine whose .vmx says vmm.instant = "TRUE", or that is started with vmm run --instant, starts from a snapshot of itself, ready on its first picture.
It has to forget what it writes (vmm.overlay = "disposable"), and to have an agent in its guest (vmm.agent = "TRUE") that makes the clock, random numbers, name and
addresses fresh each time.

The first start is an ordinary one. Once the machine is ready, a second one starts in the background, which nobody sees and nobody types into; when its picture has
come to rest it is saved, and powered off. The user's machine is never stopped for that, and nothing of what the user does gets into the snapshot. A third one goes on
from there, unseen and without a network, to find out which memory is needed first. Snapshots lie in $XDG_CACHE_HOME/vmm/instant and may be removed at any time. One that does not fit any more, because the .vmx, a disk, the processor or vmm has changed, is made anew,
as is one that is older than a week; together they take 8 GiB at most, and those go first that were not used for longest. vmm run --cold starts without. With --nested
the machine starts from the same folder: the nested host is shown it.`,
		Example: `  vmm session --web chromeos.vmx           cold the first time, instant from then on
  vmm run --instant --web chromeos.vmx     the same for one machine, whatever its .vmx says
  vmm instant make chromeos.vmx            make the snapshot now (--nested where KVM cannot run it)
  vmm instant list`,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newInstantMake(), newInstantList(), newInstantRemove())
	return c
}

func newInstantMake() *cobra.Command {
	var (
		mk       twinMaker
		attended bool
		where    string
	)
	c := &cobra.Command{
		Use:   "make FILE.vmx",
		Short: "Start a machine unseen, and save it when it is ready",
		Example: `  vmm instant make chromeos.vmx
  vmm instant make --run-option=--mem=2G chromeos.vmx     for vmm run --instant --mem=2G`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeVMX,
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := context.WithCancel(c.Context())
			defer stop()
			if attended {
				if !attend(os.Stdin, stop) {
					return nil
				}
			}
			mk.log, mk.quiet = logger(c), attended
			if direct, err := chooseHost(where); err != nil {
				return err
			} else if !direct {
				return mk.nest(ctx, args[0])
			}
			err := mk.make(ctx, args[0])
			if attended && (ctx.Err() != nil || errors.Is(err, instant.ErrBusy)) {
				return nil // who started this has ended, or another one does it
			}
			return err
		},
	}
	f := c.Flags()
	f.StringArrayVar(&mk.options, "run-option", nil, "an `OPTION` of vmm run that the machine is started with")
	f.BoolVar(&mk.again, "again", false, "make it anew even if there is one that fits")
	f.StringVar(&where, "nested", "no", "make it in the nested host: yes, no or auto (where KVM cannot run the machine)")
	f.Lookup("nested").NoOptDefVal = "yes"
	f.BoolVar(&attended, "attended", false, "begin when a byte comes on standard input, and end with it")
	_ = f.MarkHidden("attended") // cannot fail: it is there
	return c
}

// attend waits until it is told to begin, and calls stop when whoever told it is gone. It returns false if that is so already.
func attend(in *os.File, stop func()) bool {
	var b [1]byte
	if n, _ := in.Read(b[:]); n == 0 {
		return false
	}
	go func() {
		for {
			if _, err := in.Read(b[:]); err != nil {
				stop()
				return
			}
		}
	}()
	return true
}

func newInstantList() *cobra.Command {
	var verify bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the snapshots for instant starts",
		Example: "  vmm instant list\n  vmm instant list --verify     reads each whole, and fails where one is damaged",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			store, err := instant.Open()
			if err != nil {
				return err
			}
			all, err := store.List()
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			head, damaged := "MACHINE\tSIZE\tMADE\tUSED", 0
			if verify {
				head += "\tSTATE"
			}
			fmt.Fprintln(w, head)
			for _, e := range all {
				file := e.VMX
				if file == "" {
					file = "? (" + e.Name + ")"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s", printable(file), size.Format(e.Size), e.Made.Local().Format(time.DateTime), e.Used.Local().Format(time.DateTime))
				if verify {
					state := "whole"
					if err := store.Verify(e); err != nil {
						damaged++
						state = err.Error()
					}
					fmt.Fprintf(w, "\t%s", state)
				}
				fmt.Fprintln(w)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			if damaged > 0 {
				return fmt.Errorf("%d of %d snapshots cannot be relied on: vmm instant remove FILE.vmx, and the next start makes another", damaged, len(all))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&verify, "verify", false, "read each whole and compare it with its checksums")
	return c
}

func newInstantRemove() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:               "remove [FILE.vmx]",
		Short:             "Remove the snapshots of a machine, or --all",
		Example:           "  vmm instant remove chromeos.vmx\n  vmm instant remove --all",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeVMX,
		RunE: func(c *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return &exitError{exitUsage, errors.New("which machine's? FILE.vmx or --all")}
			}
			store, err := instant.Open()
			if err != nil {
				return err
			}
			var file string
			if !all {
				if file, err = filepath.Abs(args[0]); err != nil {
					return err
				}
			}
			n, err := store.Remove(file)
			if err == nil && n == 0 && !all {
				err = fmt.Errorf("there is no snapshot of %s", args[0])
			}
			return err
		},
	}
	c.Flags().BoolVar(&all, "all", false, "those of all machines")
	return c
}
