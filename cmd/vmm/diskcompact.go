package main

import (
	"fmt"

	"github.com/sharevm/vmm/disk/tools"
	"github.com/sharevm/vmm/internal/size"
	"github.com/spf13/cobra"
)

func newDiskCompact() *cobra.Command {
	var (
		open   openFlags
		o      tools.CompactOptions
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "compact FILE",
		Short: "Give back to the host what an image stores for nothing",
		Long: `Drops the blocks that hold nothing but zeroes, moves blocks from the end of the file into the gaps, and cuts the file. With --free, what
the guest's file systems (NTFS, ext4, FAT, XFS) do not use goes as well, as if it had been wiped; the image does not grow on the way. What cannot
be proven to be free stays: on a file system that was not unmounted cleanly, is hibernated or encrypted, or is not known, and the command says so.

Everything else that the guest sees stays as it is. Preallocated images (raw, fixed, flat) get holes instead, blocks of more than 256 KiB (VHD, VHDX, VDI) also inside; streamOptimized ones are made anew beside
themselves. Of a chain only FILE itself is worked on; an image that others are based on is refused. The command can be interrupted at any moment;
what was done until then stays.`,
		Example: `  vmm disk compact windows.vmdk
  vmm disk compact --free windows.vhdx
  vmm disk compact --free --dry-run data.qcow2
  vmm disk compact --json data.vdi | jq '.before - .after'`,
		Args:              operands(1, 1),
		ValidArgsFunction: completeImages(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.LoseShadowCopies && !o.Free {
				return &exitError{exitUsage, usageError(c, fmt.Errorf("--lose-shadow-copies needs --free"))}
			}
			bars := newBars(c, !asJSON)
			o.Open, o.Looking, o.Moving = open.options(c), bars.step("looking"), bars.step("moving")
			r, err := tools.Compact(c.Context(), args[0], o)
			bars.end()
			if err != nil {
				return unfinished(err, o.DryRun)
			}
			if asJSON {
				return writeJSON(c, newCompactResult(args[0], r, o.DryRun))
			}
			warn(c, append(r.Warnings, r.Skipped...))
			return sayCompacted(c, args[0], r, o)
		},
	}
	open.add(c, "format")
	f := c.Flags()
	f.BoolVar(&o.Free, "free", false, "give back what the guest's file systems do not use, too")
	f.BoolVar(&o.LoseShadowCopies, "lose-shadow-copies", false, "with --free: even where NTFS has restore points, which are damaged by that")
	f.BoolVar(&o.DryRun, "dry-run", false, "say what there is to give back, and change nothing")
	f.BoolVar(&asJSON, "json", false, "print JSON, and no progress")
	return c
}

// compactResult is the JSON form of a [tools.Compacted].
type compactResult struct {
	Path     string   `json:"path"`
	Zero     int64    `json:"zero"`
	Free     int64    `json:"free"`
	Moved    int64    `json:"moved"`
	Kept     int64    `json:"kept,omitempty"`
	Before   int64    `json:"before"`
	After    int64    `json:"after"`
	DryRun   bool     `json:"dry_run,omitempty"`
	Skipped  []string `json:"skipped,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

func newCompactResult(path string, r *tools.Compacted, dryRun bool) compactResult {
	return compactResult{path, r.Zero, r.Free, r.Moved, r.Kept, r.Before, r.After, dryRun, r.Skipped, r.Warnings}
}

func sayCompacted(c *cobra.Command, path string, r *tools.Compacted, o tools.CompactOptions) error {
	what := size.Format(r.Zero) + " of zeroes"
	if o.Free {
		what += " and " + size.Format(r.Free) + " that no file system uses"
	}
	if r.Kept > 0 {
		what += fmt.Sprintf("; %s stay, because the parent would show instead", size.Format(r.Kept))
	}
	var err error
	if o.DryRun {
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: would give up %s; nothing was changed\n", printable(path), what)
	} else {
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: gave up %s; takes %s now, %s before\n", printable(path), what, size.Format(r.After), size.Format(r.Before))
	}
	return err
}
