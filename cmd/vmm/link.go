package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newLink() *cobra.Command {
	return &cobra.Command{
		Use:   "link MACHINE ethernetN up|down",
		Short: "Plug the cable of a running machine's network card in, or pull it out",
		Long: `Plugs the cable of a network card in, or pulls it out: the guest sees its link go up or down. It stays so over a restart of the guest, until the
machine ends; ethernetN.startConnected in the .vmx says how it begins. vmm ps --json tells how it is.`,
		Example:           "  vmm link windows ethernet0 down\n  vmm link windows ethernet0 up",
		Args:              cobra.ExactArgs(3),
		ValidArgsFunction: completeLink,
		RunE: func(c *cobra.Command, args []string) error {
			if args[2] != "up" && args[2] != "down" {
				return &exitError{exitUsage, fmt.Errorf("%q: want up or down", args[2])}
			}
			client, err := findMachine(args[0])
			if err != nil {
				return err
			}
			_, err = client.SetLink(c.Context(), args[1], args[2] == "up")
			return err
		},
	}
}

// completeLink completes the ids of machines, then the names of network cards, then what can be done.
func completeLink(c *cobra.Command, args []string, typed string) (words []string, _ cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return completeMachine(c, args, typed)
	case 1:
		if client, err := findMachine(args[0]); err == nil {
			s, _ := client.Status(c.Context()) // without an answer there is nothing to complete
			for _, n := range s.NICs {
				words = append(words, n.Name)
			}
		}
	case 2:
		words = []string{"up", "down"}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
