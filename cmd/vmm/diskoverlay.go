package main

import (
	"fmt"
	"path/filepath"

	"github.com/sharevm/vmm/disk/tools"
	"github.com/sharevm/vmm/internal/size"
	"github.com/spf13/cobra"
)

func newDiskOverlay() *cobra.Command {
	var (
		o      tools.OverlayOptions
		block  string
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "overlay BASE [NEW]",
		Short: "Make a linked clone: a new image that stores only what changes",
		Long: `Makes an image that reads as BASE and stores only what is written to it. BASE must not change afterwards. Overlays in VMDK and qcow2 take a
base of any format; a VHD can only be based on a VHD, and a VHDX on a VHDX.

Without NEW the overlay lies beside its base and is named as VMware names snapshots: disk-000001.vmdk, disk-000002.vmdk and so on. It is in
the format of its base, or in qcow2 where that has no overlays (raw, VDI).

What exists is never replaced. Nothing is seen of the new image until it is complete. The variants, the first being the default:` + variantsHelp(),
		Example: `  vmm disk overlay windows.vmdk
  vmm disk overlay windows.vhdx try.vmdk
  vmm disk overlay disk.raw clone --format qcow2
  vmm disk overlay windows.vmdk --json | jq -r .path`,
		Args:              operands(1, 2),
		ValidArgsFunction: completeImages(2),
		RunE: func(c *cobra.Command, args []string) (err error) {
			n := &o.New
			n.Logger = diskLogger(c)
			if block != "" {
				if n.BlockSize, err = size.Parse(block); err != nil {
					return &exitError{exitUsage, usageError(c, fmt.Errorf("--block-size: %w", err))}
				}
			}
			base, path := args[0], ""
			if len(args) == 2 {
				path = args[1]
			} else if path, err = tools.OverlayName(base, n.ParentFormat, n.Format, nil); err != nil {
				return err
			}
			info, err := tools.Overlay(c.Context(), base, path, o)
			if err != nil {
				return err
			}
			d := &tools.Description{Info: info}
			if rel, err := filepath.Rel(filepath.Dir(path), base); err == nil && !filepath.IsLocal(rel) {
				d.Warnings = append(d.Warnings, fmt.Sprintf("%s: its base lies outside its folder, so that it opens only with --allow-outside", path))
			}
			if asJSON {
				return writeJSON(c, struct {
					Path     string   `json:"path"`
					Format   string   `json:"format"`
					Variant  string   `json:"variant,omitempty"`
					Size     int64    `json:"size"`
					Parent   string   `json:"parent"`
					DryRun   bool     `json:"dry_run,omitempty"`
					Warnings []string `json:"warnings,omitempty"`
				}{path, d.Format, d.Variant, d.Size, base, o.DryRun, d.Warnings})
			}
			warn(c, d.Warnings)
			ending := ""
			if o.DryRun {
				ending = "; nothing was made"
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), printable(fmt.Sprintf("%s: %s, %s, based on %s%s", path, formatName(d), size.Format(d.Size), base, ending)))
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.New.Format, "format", "", "the new image's `FORMAT`, if its name does not tell")
	addVariant(c, &o.New.Variant, "format", 1)
	f.StringVar(&o.New.ParentFormat, "base-format", "", "the base's `FORMAT`, if its name does not tell")
	f.StringVar(&block, "block-size", "", "`SIZE` of the blocks that are allocated (default: the format's)")
	f.BoolVar(&o.New.AllowOutside, "allow-outside", false, "let the base name files outside its own folder; only if you trust it")
	f.BoolVar(&o.DryRun, "dry-run", false, "find out whether it can be done, and make nothing")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	_ = c.RegisterFlagCompletionFunc("format", completeFormats)
	_ = c.RegisterFlagCompletionFunc("base-format", completeFormats)
	return c
}
