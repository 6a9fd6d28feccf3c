package main

import (
	"github.com/sharevm/vmm/disk/tools"
	"github.com/spf13/cobra"
)

func newDiskFlatten() *cobra.Command {
	var r rebase
	c := &cobra.Command{
		Use:   "flatten CHILD",
		Short: "Make an image stand alone, in place",
		Long: `Copies all that CHILD reads from the images that it is based on up into CHILD itself, then unlinks it from them. Holes stay holes, and zeroes take
no room. Its parents are not changed.

It may be interrupted at any moment: CHILD reads as before, and the same command does the rest. To leave CHILD as it is and get a whole copy
instead, convert it.`,
		Example: `  vmm disk flatten windows-000002.vmdk
  vmm disk flatten --dry-run clone.vhdx
  vmm disk flatten --json clone.qcow2 | jq .written`,
		Args:              operands(1, 1),
		ValidArgsFunction: completeImages(1),
		RunE:              func(c *cobra.Command, args []string) error { return r.run(c, args[0], "", tools.Flatten) },
	}
	r.add(c)
	return c
}
