package main

import (
	"encoding/json"

	"github.com/sharevm/vmm/vmm/host"
	"github.com/spf13/cobra"
)

func newDoctor() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this host can run, and what to do where it can't",
		Long: `Looks at KVM, memory, limits, devices and what there is to confine machines with, and says what helps where something is missing.
Exits with status 3 when this host does not run ordinary machines directly.`,
		Example: "  vmm doctor\n  vmm doctor --json | jq .kvm",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r := host.Examine()
			r.Checks = append(r.Checks, sandboxChecks()...)
			if asJSON {
				if err := json.NewEncoder(c.OutOrStdout()).Encode(r); err != nil {
					return err
				}
			} else {
				r.WriteText(c.OutOrStdout())
			}
			if !r.Ready {
				return &exitError{exitNoKVM, nil}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
