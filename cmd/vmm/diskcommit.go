package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/sharevm/vmm/disk/tools"
	"github.com/sharevm/vmm/internal/size"
	"github.com/spf13/cobra"
)

func newDiskCommit() *cobra.Command {
	var (
		open   openFlags
		o      tools.CommitOptions
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "commit CHILD",
		Short: "Merge what an image stores down into the one that it is based on",
		Long: `Writes the blocks that CHILD stores itself into its parent, the image right below it, and leaves CHILD empty above that or, with --delete,
removes it. Images that are based on CHILD are then linked to the parent. A parent that is smaller grows first.

It may be interrupted at any moment, by Ctrl-C, a crash or a power failure: CHILD reads as before, and the same command starts again. Only in
the moment between the last block and the exchange of CHILD may a crash leave an image that says that its parent does not fit; nothing is
lost then, and the same command goes on from there.

Other images that are based on the parent would be broken, and are a reason to refuse; only those in the same folders are known.`,
		Example: `  vmm disk commit windows-000002.vmdk
  vmm disk commit windows-000001.vmdk --delete
  vmm disk commit try.qcow2 --dry-run --json`,
		Args:              operands(1, 1),
		ValidArgsFunction: completeImages(1),
		RunE: func(c *cobra.Command, args []string) error {
			bars := newBars(c, !asJSON)
			o.Open, o.Progress = open.options(c), bars.step("committing")
			r, err := tools.Commit(c.Context(), args[0], o)
			bars.end()
			switch {
			case errors.Is(err, tools.ErrAbove):
				return fmt.Errorf("%w (--delete)", err)
			case errors.Is(err, tools.ErrBeside):
				return fmt.Errorf("%w, or break them (--force)", err)
			case err != nil:
				return resumable(err)
			}
			r.Warnings = append(r.Warnings, concerned(args[0], r.Parent, o.Delete)...)
			if asJSON {
				return writeJSON(c, struct {
					Path     string   `json:"path"`
					Parent   string   `json:"parent"`
					Size     int64    `json:"size"`
					Moved    int64    `json:"moved"`
					Grown    bool     `json:"grown,omitempty"`
					Deleted  bool     `json:"deleted"`
					Relinked []string `json:"relinked,omitempty"`
					Broken   []string `json:"broken,omitempty"`
					DryRun   bool     `json:"dry_run,omitempty"`
					Warnings []string `json:"warnings,omitempty"`
				}{args[0], r.Parent, r.Size, r.Moved, r.Grown, o.Delete && !o.DryRun, r.Relinked, r.Broken, o.DryRun, r.Warnings})
			}
			warn(c, r.Warnings)
			return sayCommitted(c, args[0], &o, r)
		},
	}
	open.add(c, "format")
	f := c.Flags()
	f.BoolVar(&o.Delete, "delete", false, "remove CHILD when its blocks are in its parent")
	f.BoolVar(&o.Force, "force", false, "break other images that are based on the parent")
	f.BoolVar(&o.DryRun, "dry-run", false, "say what there would be to do, and change nothing")
	f.BoolVar(&asJSON, "json", false, "print JSON, and no progress")
	return c
}

// sayCommitted tells a person what a commit did.
func sayCommitted(c *cobra.Command, path string, o *tools.CommitOptions, r *tools.Committed) error {
	for _, b := range r.Broken {
		warn(c, []string{fmt.Sprintf("%s was based on %s as well, and no longer fits it", b, r.Parent)})
	}
	was, ending := "was committed", "it is empty now"
	switch {
	case o.DryRun:
		was, ending = "would be committed", "nothing was changed"
	case o.Delete:
		ending = "it is deleted"
	}
	for _, p := range r.Relinked {
		is := "is now"
		if o.DryRun {
			is = "would be"
		}
		ending += fmt.Sprintf("; %s %s based on %s", p, is, r.Parent)
	}
	_, err := fmt.Fprintln(c.OutOrStdout(), printable(fmt.Sprintf("%s: %s of %s %s to %s; %s", path, size.Format(r.Moved), size.Format(r.Size), was, r.Parent, ending)))
	return err
}

// concerned says what a commit means to the machines in the child's folder.
func concerned(child, parent string, deleted bool) (remarks []string) {
	var o tools.TreeOptions
	a, err := findAlbum(filepath.Dir(child), &o)
	if err != nil {
		return nil
	}
	lost, _ := a.of(parent)
	for _, s := range lost {
		remarks = append(remarks, fmt.Sprintf("%s was frozen for the snapshot %q, whose state is lost", parent, s.Name))
	}
	if !deleted {
		return remarks
	}
	snapshots, machines := a.of(child)
	for _, s := range snapshots {
		remarks = append(remarks, fmt.Sprintf("the snapshot %q names %s; its state is that of %s now", s.Name, child, parent))
	}
	for _, m := range machines {
		remarks = append(remarks, fmt.Sprintf("%s has %s as its disk %s; put %s in its place", m.file, child, m.node, parent))
	}
	return remarks
}

// errResumable is what an interruption of work on a chain is called.
var errResumable = errors.New("interrupted; the disk reads as before, and the same command does the rest")

// resumable names an interruption that leaves some of the work done.
func resumable(err error) error {
	if errors.Is(err, context.Canceled) {
		return errResumable
	}
	return err
}
