package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/sharevm/vmm/disk/tools"
	"github.com/sharevm/vmm/internal/size"
	"github.com/spf13/cobra"
)

func newDiskConvert() *cobra.Command {
	var (
		open   openFlags
		o      tools.ConvertOptions
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "convert IN OUT",
		Short: "Copy an image into another format",
		Long: `Copies what the disk IN holds, its parents included, to a new image OUT. Holes stay holes, and zeroes become holes. Nothing is seen
under the name OUT until it is complete and on the disk; when the command is interrupted, nothing is left of it.

The variants, the first being the default:` + variantsHelp(),
		Example: `  vmm disk convert windows.vmdk windows.vhdx
  vmm disk convert --verify --force data.vhd data.qcow2
  vmm disk convert disk.raw upload.vmdk --variant streamOptimized
  vmm disk convert /dev/sdb disk.vhdx --from raw`,
		Args:              operands(2, 2),
		ValidArgsFunction: completeImages(2),
		RunE: func(c *cobra.Command, args []string) error {
			bars := newBars(c, !asJSON)
			o.In, o.Out.Logger = open.options(c), diskLogger(c)
			o.Copying, o.Verifying = bars.step("copying"), bars.step("verifying")
			r, err := tools.Convert(c.Context(), args[0], args[1], o)
			bars.end()
			if errors.Is(err, fs.ErrExist) && !o.Force {
				return fmt.Errorf("%w; --force replaces it", err)
			}
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c, struct {
					Path     string   `json:"path"`
					Size     int64    `json:"size"`
					Written  int64    `json:"written"`
					Verified bool     `json:"verified"`
					DryRun   bool     `json:"dry_run,omitempty"`
					Warnings []string `json:"warnings,omitempty"`
				}{args[1], r.Size, r.Written, o.Verify && !o.DryRun, o.DryRun, r.Warnings})
			}
			warn(c, r.Warnings)
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s, %s\n", printable(args[1]), size.Format(r.Size), outcome(&o, size.Format(r.Written)))
			return err
		},
	}
	open.add(c, "from")
	f := c.Flags()
	f.StringVar(&o.Out.Format, "to", "", "the new image's `FORMAT`, if its name does not tell")
	_ = c.RegisterFlagCompletionFunc("to", completeFormats)
	addVariant(c, &o.Out.Variant, "to", 1)
	f.BoolVar(&o.Force, "force", false, "replace OUT if it exists")
	f.BoolVar(&o.Verify, "verify", false, "read the new image back and compare before it gets its name")
	f.BoolVar(&o.DryRun, "dry-run", false, "say what there would be to do, and change nothing")
	f.BoolVar(&asJSON, "json", false, "print JSON, and no progress")
	return c
}

// outcome says what became of the stored part of a disk.
func outcome(o *tools.ConvertOptions, stored string) string {
	switch {
	case o.DryRun:
		return "of which at most " + stored + " would be stored; nothing was changed"
	case o.Verify:
		return "of which " + stored + " are stored, verified"
	}
	return "of which " + stored + " are stored"
}
