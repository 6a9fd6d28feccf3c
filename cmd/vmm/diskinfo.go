package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/sharevm/vmm/disk/tools"
	"github.com/sharevm/vmm/internal/size"
	"github.com/spf13/cobra"
)

func newDiskInfo() *cobra.Command {
	var (
		open   openFlags
		asJSON bool
		shared bool
	)
	c := &cobra.Command{
		Use:   "info FILE",
		Short: "Say what an image is: format, sizes, parents, closed cleanly or not",
		Long: `Opens an image for reading and says its format and variant, the disk's size, what its files take on this host, its
identifier, whether it was closed cleanly, and the chain of images that it is based on.

An image whose parents are missing, or do not fit, is described alone, with a warning that says what is wrong with them.`,
		Example:           "  vmm disk info windows.vmdk\n  vmm disk info --json windows-000002.vmdk | jq .chain\n  vmm disk info --shared running.vhdx",
		Args:              operands(1, 1),
		ValidArgsFunction: completeImages(1),
		RunE: func(c *cobra.Command, args []string) error {
			o := open.options(c)
			o.Shared = shared
			d, err := tools.Describe(args[0], o)
			if err != nil {
				return err
			}
			if d.Broken != nil {
				d.Warnings = append(d.Warnings, (&diskError{d.Broken, c}).Error())
			}
			if asJSON {
				return writeJSON(c, newImageInfo(d))
			}
			return writeInfo(c.OutOrStdout(), d)
		},
	}
	open.add(c, "format")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&shared, "shared", false, "look at an image that another program is using; what is said may be out of date")
	return c
}

// imageInfo is the JSON form of a [tools.Description].
type imageInfo struct {
	Path       string      `json:"path"`
	Format     string      `json:"format"`
	Variant    string      `json:"variant,omitempty"`
	Size       int64       `json:"size"`
	Used       int64       `json:"used"`
	BlockSize  int64       `json:"block_size,omitempty"`
	SectorSize int         `json:"sector_size"`
	Clean      bool        `json:"clean"`
	ID         string      `json:"id,omitempty"`
	Files      []string    `json:"files"`
	Parent     string      `json:"parent,omitempty"`
	Warnings   []string    `json:"warnings,omitempty"`
	Chain      []imageInfo `json:"chain,omitempty"`
}

func newImageInfo(d *tools.Description) imageInfo {
	i := imageInfo{
		Path: d.Path, Format: d.Format, Variant: d.Variant, Size: d.Size, Used: d.Used, BlockSize: d.BlockSize, SectorSize: d.SectorSize,
		Clean: !d.Unclean, ID: d.ID, Files: d.Files, Parent: d.Parent, Warnings: d.Warnings,
	}
	for k := range d.Chain {
		i.Chain = append(i.Chain, newImageInfo(&d.Chain[k]))
	}
	return i
}

// writeInfo prints d for people.
func writeInfo(out io.Writer, d *tools.Description) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s:\t%s\n", name, printable(value))
		}
	}
	line("image", d.Path)
	line("format", formatName(d))
	line("size", exactSize(d.Size))
	line("on this host", fmt.Sprintf("%s in %s", size.Format(d.Used), plural(len(d.Files), "file")))
	if d.BlockSize > 0 {
		line("block size", size.Format(d.BlockSize))
	}
	if d.SectorSize != 512 {
		line("sector size", size.Format(int64(d.SectorSize)))
	}
	line("identifier", d.ID)
	state := "yes"
	if d.Unclean {
		state = "no: the last program that wrote to it did not close it"
	}
	line("closed cleanly", state)
	for _, f := range d.Files[min(1, len(d.Files)):] {
		line("extent", f)
	}
	if d.Broken != nil {
		line("based on", d.Parent)
	}
	for k := range d.Chain {
		p := &d.Chain[k]
		line("based on", fmt.Sprintf("%s (%s, %s)", p.Path, formatName(p), size.Format(p.Used)))
	}
	for _, s := range d.Warnings {
		line("warning", s)
	}
	return w.Flush()
}

func formatName(d *tools.Description) string {
	if d.Variant == "" {
		return d.Format
	}
	return d.Format + " " + d.Variant
}

// exactSize gives both what people read and every byte.
func exactSize(n int64) string {
	if n < 1024 {
		return size.Format(n)
	}
	return fmt.Sprintf("%s (%d bytes)", size.Format(n), n)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
