package main

import (
	"errors"
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
	"github.com/sharevm/vmm/internal/size"
	"github.com/spf13/cobra"
)

func newDiskCreate() *cobra.Command {
	var (
		o       disk.CreateOptions
		block   string
		extents []string
	)
	c := &cobra.Command{
		Use:   "create FILE SIZE",
		Short: "Make an empty image, or one on top of another",
		Long: `Makes an image of SIZE bytes that reads as zeroes. With --parent it starts as a copy of that image and stores only what changes;
SIZE may then be left out. The parent must not change afterwards.

With --variant custom a VMDK consists of the extents that are listed, in their order; SIZE may be left out. Each is KIND:SIZE[:FILE[:OFFSET]], where
sparse and flat ones are in a FILE beside the image, zero ones in none. A flat extent's FILE may exist, and stays as it is.

What exists is never replaced. The variants, the first being the default:` + variantsHelp(),
		Example: `  vmm disk create data.vhdx 80G
  vmm disk create data.vmdk 1.5T --variant twoGbMaxExtentSparse
  vmm disk create try.vmdk --parent windows.vmdk
  vmm disk create mix.vmdk --variant custom --extent flat:1M:boot.img --extent zero:1M --extent sparse:20G`,
		Args:              operands(1, 2),
		ValidArgsFunction: completeImages(1),
		RunE: func(c *cobra.Command, args []string) error {
			custom, err := isCustom(args[0], o, extents)
			if err == nil {
				err = parseSizes(&o, block, args, custom)
			}
			if err == nil {
				err = suits(args[0], o)
			}
			if err != nil {
				return &exitError{exitUsage, usageError(c, err)}
			}
			o.Logger = diskLogger(c)
			if custom {
				err = createCustom(args[0], o, extents)
			} else {
				err = formats.Create(args[0], o)
			}
			if err != nil {
				return err
			}
			return sayCreated(c, args[0], o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Format, "format", "", "the image's `FORMAT`, if its name does not tell")
	addVariant(c, &o.Variant, "format", 0)
	f.StringArrayVar(&extents, "extent", nil, "one `EXTENT` of a VMDK of the variant custom; give it once for each")
	f.StringVar(&o.Parent, "parent", "", "the image that the new one starts as a copy of: a `FILE`")
	f.StringVar(&o.ParentFormat, "parent-format", "", "the parent's `FORMAT`, if its name does not tell")
	f.StringVar(&block, "block-size", "", "`SIZE` of the blocks that are allocated (default: the format's)")
	f.IntVar(&o.SectorSize, "sector-size", 0, "logical sector in `BYTES`, 512 or 4096 (VHDX only)")
	f.BoolVar(&o.AllowOutside, "allow-outside", false, "let the parent, or an extent, name files outside its own folder; only if you trust it")
	_ = c.MarkFlagFilename("parent", imageExtensions()...)
	_ = c.RegisterFlagCompletionFunc("format", completeFormats)
	_ = c.RegisterFlagCompletionFunc("parent-format", completeFormats)
	return c
}

// parseSizes reads the sizes that were typed into o. Extents have sizes of their own.
func parseSizes(o *disk.CreateOptions, block string, args []string, custom bool) (err error) {
	if len(args) == 2 {
		if o.Size, err = size.Parse(args[1]); err != nil {
			return err
		}
	} else if o.Parent == "" && !custom {
		return errors.New("SIZE is missing")
	}
	if block != "" {
		if o.BlockSize, err = size.Parse(block); err != nil {
			return fmt.Errorf("--block-size: %w", err)
		}
	}
	return nil
}

// suits refuses options that mean nothing to the image's format, rather than leaving them out.
func suits(path string, o disk.CreateOptions) error {
	f, err := formats.Find(path, o.Format)
	switch {
	case err != nil:
		return nil // is refused when it is made, with what to do about it
	case f.Name != "vhdx" && o.SectorSize != 0:
		return fmt.Errorf("--sector-size is for VHDX; %s does not record it", f.Name)
	case f.Name == "raw" && o.Variant != "":
		return errors.New("--variant: raw images have no variants")
	case f.Name == "raw" && o.BlockSize != 0:
		return errors.New("--block-size: raw images have no blocks")
	}
	return nil
}

// sayCreated describes the new image, and says so if it will need an option to be opened.
func sayCreated(c *cobra.Command, path string, o disk.CreateOptions) error {
	d, err := tools.Describe(path, disk.OpenOptions{Format: o.Format, AllowOutside: o.AllowOutside})
	if errors.Is(err, disk.ErrOutside) {
		warn(c, []string{fmt.Sprintf("%s: its parent lies outside its folder, so it opens only with --allow-outside", path)})
		if d, err = tools.Describe(path, disk.OpenOptions{Format: o.Format, AllowOutside: true}); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	warn(c, d.Warnings)
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s, %s\n", printable(path), formatName(d), size.Format(d.Size))
	return err
}
