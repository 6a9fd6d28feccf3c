package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/tools"
	"github.com/spf13/cobra"
)

func newDiskTree() *cobra.Command {
	var asJSON, allowOutside bool
	c := &cobra.Command{
		Use:   "snapshot-tree FOLDER|FILE.vmx|FILE.vmsd|IMAGE",
		Short: "Show how images are based on each other, with VMware's snapshots",
		Long: `Shows the images of a folder as a tree, each below the one that it is based on, in whatever formats. For a machine (.vmx or .vmsd) or an image
only those are shown that have to do with it. Parents that are missing, do not fit or go round in a circle are named; nothing is opened for writing.

Where there is a list of VMware's snapshots (.vmsd) their names, descriptions and dates stand at the images that were frozen for them, and the
machine (.vmx) at the images that it writes to. Snapshots inside a qcow2 are listed too.`,
		Example: `  vmm disk snapshot-tree .
  vmm disk snapshot-tree windows.vmx
  vmm disk snapshot-tree --json windows-000002.vmdk | jq '.[].children'`,
		Args: operands(1, 1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return append(imageExtensions(), "vmx", "vmsd"), cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(c *cobra.Command, args []string) error {
			o := tools.TreeOptions{Open: disk.OpenOptions{AllowOutside: allowOutside, Logger: diskLogger(c)}}
			a, err := findAlbum(args[0], &o)
			if err != nil {
				return err
			}
			roots, err := tools.Tree(c.Context(), o)
			if err != nil {
				return err
			}
			warn(c, a.warnings)
			if asJSON {
				return writeJSON(c, a.json(roots))
			}
			if len(roots) == 0 {
				_, err := fmt.Fprintln(c.OutOrStdout(), "no images")
				return err
			}
			t := treeWriter{album: a, folder: o.Folder, out: c.OutOrStdout()}
			for _, n := range roots {
				t.write(n, "", "", "")
			}
			return t.err
		},
	}
	f := c.Flags()
	f.BoolVar(&allowOutside, "allow-outside", false, "look at images outside the folder too; only if you trust those in it")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// short is a path as it is shown in a tree: without the folder, if it lies there.
func short(folder, path string) string {
	if rel, err := filepath.Rel(folder, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}

// hasExt compares a file's extension in any case.
func hasExt(path, ext string) bool { return strings.EqualFold(filepath.Ext(path), ext) }
