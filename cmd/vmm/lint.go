package main

import (
	"encoding/json"

	"github.com/sharevm/vmm/config/vmx"
	"github.com/spf13/cobra"
)

func newLint() *cobra.Command {
	var asJSON, all bool
	c := &cobra.Command{
		Use:   "lint FILE.vmx",
		Short: "Say what of a .vmx is honoured, and what is not",
		Long: `Reads a .vmx file and says for each key whether it is honoured, harmless, only warned about, or refused, and why.
Exits with status 1 when the machine cannot be run as it is.`,
		Example:           "  vmm lint windows.vmx\n  vmm lint --all --json windows.vmx",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeVMX,
		RunE: func(c *cobra.Command, args []string) error {
			r, err := vmx.Lint(args[0], vmx.Options{})
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(c.OutOrStdout()).Encode(r)
			} else {
				err = r.WriteText(c.OutOrStdout(), all)
			}
			if err == nil && r.Worst() == vmx.Refused {
				err = &exitError{exitFailed, nil}
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&all, "all", false, "show every key, not only those that need attention")
	return c
}

// completeVMX completes .vmx files, and folders on the way to them.
func completeVMX(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"vmx"}, cobra.ShellCompDirectiveFilterFileExt
}

// completeRunnable completes what vmm run takes: a .vmx or a disk image.
func completeRunnable(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"vmx", "vmdk", "vhd", "vhdx", "vdi", "qcow2", "raw", "img", "iso"}, cobra.ShellCompDirectiveFilterFileExt
}
