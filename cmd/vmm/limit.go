package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sharevm/vmm/config"
)

func newLimit() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "limit MACHINE [NAME=VALUE...]",
		Short: "Bound what a running machine takes from this host",
		Long: `Changes the limits of a running machine, which vmm ps lists, and prints those in force. A limit holds at once, whatever the guest does;
what has to wait for one waits in the guest. The same names behind "vmm.limit." in the .vmx, or with vmm run --limit, hold from the start.

  disk.iops, disk.read.iops, disk.write.iops                      requests a second, of all disks together
  disk.bandwidth, disk.read.bandwidth, disk.write.bandwidth       bytes a second
  net.in, net.out                                                 bytes a second, of all network cards together
  NAME.burst                                                      what may go at once after a rest (a quarter of a second's worth)
  cpu.shares                                                      weight under contention; 1000 is what others have
  cpu.quota                                                       processors: 1.5, or 150%; needs a control group (cgroup v2)

Bytes may be written as 10M or 100Mbit. "off" lifts a limit.`,
		Example:           "  vmm limit windows disk.bandwidth=20M disk.iops=500\n  vmm limit windows net.out=10Mbit net.out.burst=1M\n  vmm limit windows disk.iops=off\n  vmm limit windows --json",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeLimit,
		RunE: func(c *cobra.Command, args []string) error {
			change := map[string]string{}
			for _, p := range args[1:] {
				if err := setLimits(new(config.Limits), []string{p}); err != nil {
					return &exitError{exitUsage, err}
				}
				name, value, _ := strings.Cut(p, "=")
				change[name] = value
			}
			client, err := findMachine(args[0])
			if err != nil {
				return err
			}
			var l config.Limits
			if len(change) > 0 {
				l, err = client.ChangeLimits(c.Context(), change)
			} else {
				l, err = client.Limits(c.Context())
			}
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(l)
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			for name, value := range l.Named {
				fmt.Fprintf(t, "%s\t%s\n", name, value)
			}
			return t.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// completeLimit completes the ids of machines, and then the names of limits.
func completeLimit(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return completeMachine(c, args, typed)
	}
	var words []string
	for _, name := range config.LimitNames() {
		words = append(words, name+"=")
	}
	return words, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}
