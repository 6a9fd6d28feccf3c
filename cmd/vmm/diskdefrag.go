package main

import (
	"fmt"

	"github.com/sharevm/vmm/disk/tools"
	"github.com/sharevm/vmm/internal/size"
	"github.com/spf13/cobra"
)

func newDiskDefrag() *cobra.Command {
	var (
		open   openFlags
		o      tools.DefragOptions
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "defrag FILE",
		Short: "Bring an image's blocks into the order of the disk",
		Long: `Moves the blocks that an image stores so that they lie in its file in the order of the disk, one behind the other, in place. The file
grows by up to 256 MiB on the way, and is never longer than before at the end. Fragments within the guest's file systems are the guest's own matter,
and how the file itself lies on the host is the host's.

Preallocated images are in order already and are refused, and so are images with internal snapshots and those that others are based on. The command
can be interrupted at any moment; what was done until then stays.`,
		Example: `  vmm disk defrag windows.vmdk
  vmm disk defrag --dry-run windows.vhdx
  vmm disk defrag --json data.qcow2 | jq .before`,
		Args:              operands(1, 1),
		ValidArgsFunction: completeImages(1),
		RunE: func(c *cobra.Command, args []string) error {
			bars := newBars(c, !asJSON)
			o.Open, o.Moving = open.options(c), bars.step("moving")
			r, err := tools.Defrag(c.Context(), args[0], o)
			bars.end()
			if err != nil {
				return unfinished(err, o.DryRun)
			}
			if asJSON {
				return writeJSON(c, struct {
					Path   string `json:"path"`
					Blocks int64  `json:"blocks"`
					Before int64  `json:"before"`
					After  int64  `json:"after"`
					Moved  int64  `json:"moved"`
					DryRun bool   `json:"dry_run,omitempty"`
				}{args[0], r.Blocks, r.Before, r.After, r.Moved, o.DryRun})
			}
			if o.DryRun {
				_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s in %s; nothing was changed\n", printable(args[0]), plural(int(r.Blocks), "block"), plural(int(r.Before), "fragment"))
			} else {
				_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s in %s, %d before; %s were moved\n", printable(args[0]), plural(int(r.Blocks), "block"),
					plural(int(r.After), "fragment"), r.Before, size.Format(r.Moved))
			}
			return err
		},
	}
	open.add(c, "format")
	f := c.Flags()
	f.BoolVar(&o.DryRun, "dry-run", false, "count the fragments, and change nothing")
	f.BoolVar(&asJSON, "json", false, "print JSON, and no progress")
	return c
}
