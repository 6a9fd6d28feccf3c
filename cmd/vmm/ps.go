package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sharevm/vmm/internal/size"
	"github.com/sharevm/vmm/machine/control"
)

func newPS() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "ps",
		Short: "List the machines that run",
		Long: `Lists the user's machines that run, and what each has done so far. --json says all there is to say: disks, network cards, limits, and what
the firewall has refused, by reason and with the latest refusals.`,
		Example: "  vmm ps\n  vmm ps --json | jq '.[].nics[].refusals'",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := machines(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(all)
			}
			return writeMachines(c.OutOrStdout(), all)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// listed is a machine that runs, as far as it says so.
type listed struct {
	control.Status
	Error string `json:"error,omitempty"` // why there is no more than the id
}

// answerLimit is how long a machine may take to say what it is doing.
const answerLimit = 3 * time.Second

// machines asks all machines at the same time.
func machines(ctx context.Context) ([]listed, error) {
	root, err := control.Root()
	if err != nil {
		return nil, err
	}
	clients, err := control.List(root)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	all := make([]listed, len(clients))
	var asking sync.WaitGroup
	for i, c := range clients {
		asking.Go(func() {
			s, err := c.Status(ctx)
			if err != nil {
				s, all[i].Error = control.Status{ID: c.ID}, err.Error()
			}
			all[i].Status = s
		})
	}
	asking.Wait()
	return all, nil
}

// writeMachines prints a table.
func writeMachines(w io.Writer, all []listed) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tPID\tSTATE\tUPTIME\tCPUS\tMEMORY\tDISK READ\tWRITTEN\tNET IN\tOUT\tREFUSED\tNAME")
	for _, m := range all {
		if m.Error != "" {
			fmt.Fprintf(t, "%s\t\t?\t\t\t\t\t\t\t\t\t%s\n", m.ID, printable(m.Error))
			continue
		}
		var read, written, in, out int64
		for _, d := range m.Disks {
			read, written = read+d.Reads.Bytes, written+d.Writes.Bytes
		}
		for _, n := range m.NICs {
			in, out = in+n.ToGuest.Bytes, out+n.FromGuest.Bytes
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%v\t%d\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", m.ID, m.PID, printable(string(m.State)),
			time.Duration(m.Uptime)*time.Second, m.VCPUs, size.Format(m.Memory), size.Format(read), size.Format(written),
			size.Format(in), size.Format(out), m.TotalRefused(), printable(m.Name))
	}
	return t.Flush()
}
