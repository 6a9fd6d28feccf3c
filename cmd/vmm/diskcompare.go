package main

import (
	"fmt"
	"slices"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
	"github.com/spf13/cobra"
)

func newDiskCompare() *cobra.Command {
	var (
		open     openFlags
		formatB  string
		o        tools.CompareOptions
		asJSON   bool
		openBoth = func(c *cobra.Command, args []string) (a, b disk.Image, err error) {
			oa := open.options(c)
			ob := oa
			ob.Format = formatB
			if a, err = formats.Open(args[0], oa); err != nil {
				return nil, nil, err
			}
			if b, err = formats.Open(args[1], ob); err != nil {
				a.Close()
				return nil, nil, err
			}
			return a, b, nil
		}
	)
	c := &cobra.Command{
		Use:   "compare A B",
		Short: "Say whether two images hold the same, and where they first differ",
		Long: `Compares what two disks hold, of whatever formats and however stored. Exits with status 1 when they differ, and says where first. Disks
of different sizes differ, unless --pad lets zeroes follow the shorter one.`,
		Example:           "  vmm disk compare windows.vmdk windows.vhdx\n  vmm disk compare --pad old.vhd new.raw\n  vmm disk compare --json a.vdi b.qcow2 | jq .offset",
		Args:              operands(2, 2),
		ValidArgsFunction: completeImages(2),
		RunE: func(c *cobra.Command, args []string) error {
			a, b, err := openBoth(c, args)
			if err != nil {
				return err
			}
			defer a.Close()
			defer b.Close()
			warn(c, append(slices.Clone(a.Info().Warnings), b.Info().Warnings...))
			bars := newBars(c, !asJSON)
			o.Progress = bars.step("comparing")
			d, err := tools.Compare(c.Context(), a, b, o)
			bars.end()
			if err != nil {
				return err
			}
			return sayCompared(c, asJSON, a.Size(), b.Size(), d)
		},
	}
	open.add(c, "format")
	f := c.Flags()
	f.StringVar(&formatB, "format-b", "", "the second image's `FORMAT`, if its name does not tell")
	f.BoolVar(&o.Pad, "pad", false, "let zeroes follow the shorter disk")
	f.BoolVar(&asJSON, "json", false, "print JSON, and no progress")
	_ = c.RegisterFlagCompletionFunc("format-b", completeFormats)
	return c
}

// sayCompared prints the result and makes it the exit status.
func sayCompared(c *cobra.Command, asJSON bool, sizeA, sizeB int64, d *tools.Difference) (err error) {
	switch {
	case asJSON:
		r := struct {
			Same   bool   `json:"same"`
			Offset *int64 `json:"offset,omitempty"`
			SizeA  int64  `json:"size_a"`
			SizeB  int64  `json:"size_b"`
		}{Same: d == nil, SizeA: sizeA, SizeB: sizeB}
		if d != nil {
			r.Offset = &d.Offset
		}
		err = writeJSON(c, r)
	case d == nil:
		_, err = fmt.Fprintln(c.OutOrStdout(), "the disks hold the same")
	case d.Sizes:
		_, err = fmt.Fprintf(c.OutOrStdout(), "the disks differ in size (%d and %d bytes); up to there they hold the same\n", sizeA, sizeB)
	default:
		_, err = fmt.Fprintf(c.OutOrStdout(), "the disks differ, first at byte %d (sector %d)\n", d.Offset, d.Offset/512)
	}
	if err == nil && d != nil {
		err = &exitError{exitFailed, nil}
	}
	return err
}
