package main

import (
	"github.com/spf13/cobra"

	"github.com/sharevm/vmm/machine/control"
)

// findMachine returns a client for the machine of that id.
func findMachine(id string) (control.Client, error) {
	root, err := control.Root()
	if err != nil {
		return control.Client{}, err
	}
	return control.Find(root, id)
}

// completeMachine completes the ids of machines that run, as the first argument.
func completeMachine(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	if root, err := control.Root(); err == nil {
		clients, _ := control.List(root)
		for _, c := range clients {
			ids = append(ids, c.ID)
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
