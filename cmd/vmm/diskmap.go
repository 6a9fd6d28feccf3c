package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
	"github.com/spf13/cobra"
)

func newDiskMap() *cobra.Command {
	var (
		open   openFlags
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "map FILE",
		Short: "List where a disk's data is stored, and where its holes are",
		Long: `Lists the disk's ranges in order: data, zero (recorded as zeroes) or hole (stored nowhere); how many parents down the chain the
range is found (0 is the image itself); and, for data that is stored as it is, its offset in the file. Numbers are bytes.`,
		Example:           "  vmm disk map windows.vmdk\n  vmm disk map --json windows.vhdx | jq 'map(select(.data).length) | add'",
		Args:              operands(1, 1),
		ValidArgsFunction: completeImages(1),
		RunE: func(c *cobra.Command, args []string) error {
			i, err := formats.Open(args[0], open.options(c))
			if err != nil {
				return err
			}
			defer i.Close()
			warn(c, i.Info().Warnings)
			w := bufio.NewWriter(c.OutOrStdout())
			write := writeMap
			if asJSON {
				write = writeMapJSON
			}
			err = write(w, func(yield func(disk.Extent) error) error { return tools.Map(c.Context(), i, yield) })
			return errors.Join(err, w.Flush())
		},
	}
	open.add(c, "format")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the keys of qemu-img map")
	return c
}

var extentKinds = map[disk.ExtentKind]string{disk.Hole: "hole", disk.Zero: "zero", disk.Data: "data"}

// extents calls yield for each extent of a disk.
type extents func(yield func(disk.Extent) error) error

// writeMap prints a table. Its columns have fixed widths, because the list may be too long to keep.
func writeMap(w *bufio.Writer, each extents) error {
	fmt.Fprintf(w, "%16s %16s  %-4s %5s %16s\n", "OFFSET", "LENGTH", "KIND", "DEPTH", "IN FILE AT")
	return each(func(e disk.Extent) error {
		at := "-"
		if e.Kind == disk.Data && e.Host >= 0 {
			at = strconv.FormatInt(e.Host, 10)
		}
		_, err := fmt.Fprintf(w, "%16d %16d  %-4s %5d %16s\n", e.Offset, e.Length, extentKinds[e.Kind], e.Depth, at)
		return err
	})
}

// mapElement is an extent in JSON, with the keys of qemu-img map.
type mapElement struct {
	Start   int64  `json:"start"`
	Length  int64  `json:"length"`
	Depth   int    `json:"depth"`
	Present bool   `json:"present"`
	Zero    bool   `json:"zero"`
	Data    bool   `json:"data"`
	Kind    string `json:"kind"`
	Offset  *int64 `json:"offset,omitempty"`
}

// writeMapJSON prints an array, an extent on each line. It is complete only if all went well.
func writeMapJSON(w *bufio.Writer, each extents) error {
	before := "["
	err := each(func(e disk.Extent) error {
		x := mapElement{
			Start: e.Offset, Length: e.Length, Depth: e.Depth, Present: e.Kind != disk.Hole, Zero: e.Kind != disk.Data, Data: e.Kind == disk.Data,
			Kind: extentKinds[e.Kind],
		}
		if x.Data && e.Host >= 0 {
			x.Offset = &e.Host
		}
		p, err := json.Marshal(x)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s%s", before, p)
		before = ",\n"
		return err
	})
	if err != nil {
		return err
	}
	if before == "[" {
		_, err = w.WriteString("[]\n")
	} else {
		_, err = w.WriteString("]\n")
	}
	return err
}
