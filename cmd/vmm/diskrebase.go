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

func newDiskRebase() *cobra.Command {
	var (
		r      rebase
		none   bool
		relink bool
	)
	c := &cobra.Command{
		Use:   "rebase CHILD [PARENT]",
		Short: "Base an image on another one, and have it read as before",
		Long: `Bases CHILD on PARENT instead of what it is based on now. Where the two parents differ, what CHILD reads today is stored in it first, so that it
reads the same afterwards. With --none it is based on nothing, as vmm disk flatten does it.

--relink is for a parent that was moved or renamed: it only records that it is PARENT. The identity that CHILD has recorded of its parent is
compared; formats that record none (qcow2) are believed, with a warning.

It may be interrupted at any moment: CHILD reads as before, and the same command does the rest.`,
		Example: `  vmm disk rebase try.vmdk newbase.vmdk
  vmm disk rebase windows-000002.vmdk windows.vmdk
  vmm disk rebase --relink clone.vhdx bases/windows.vhdx
  vmm disk rebase --none clone.qcow2`,
		Args:              operands(1, 2),
		ValidArgsFunction: completeImages(2),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case none && (relink || len(args) == 2):
				return &exitError{exitUsage, usageError(c, errors.New("--none goes without PARENT and --relink"))}
			case !none && len(args) == 1:
				return &exitError{exitUsage, usageError(c, errors.New("PARENT is missing (or --none)"))}
			case none:
				return r.run(c, args[0], "", tools.Flatten)
			}
			work := tools.Rebase
			if relink {
				work = tools.Relink
			}
			return r.run(c, args[0], args[1], func(ctx context.Context, child string, o tools.RebaseOptions) (*tools.Rebased, error) {
				return work(ctx, child, args[1], o)
			})
		},
	}
	r.add(c)
	f := c.Flags()
	f.BoolVar(&none, "none", false, "base CHILD on nothing")
	f.BoolVar(&relink, "relink", false, "the parent was moved or renamed: record its new place, and copy nothing")
	f.StringVar(&r.o.ParentFormat, "parent-format", "", "the parent's `FORMAT`, if its name does not tell")
	_ = c.RegisterFlagCompletionFunc("parent-format", completeFormats)
	return c
}

// rebase is what rebase and flatten have in common.
type rebase struct {
	open   openFlags
	o      tools.RebaseOptions
	asJSON bool
}

func (r *rebase) add(c *cobra.Command) {
	r.open.add(c, "format")
	f := c.Flags()
	f.BoolVar(&r.o.DryRun, "dry-run", false, "say what there would be to do, and change nothing")
	f.BoolVar(&r.asJSON, "json", false, "print JSON, and no progress")
}

// run does the work and says what was done.
func (r *rebase) run(c *cobra.Command, child, parent string, work func(context.Context, string, tools.RebaseOptions) (*tools.Rebased, error)) error {
	bars := newBars(c, !r.asJSON)
	r.o.Open, r.o.Progress = r.open.options(c), bars.step("copying up")
	d, err := work(c.Context(), child, r.o)
	bars.end()
	if err != nil {
		return resumable(err)
	}
	if rel, err := filepath.Rel(filepath.Dir(child), parent); parent != "" && err == nil && !filepath.IsLocal(rel) {
		d.Warnings = append(d.Warnings, fmt.Sprintf("%s: its parent lies outside its folder, so that it opens only with --allow-outside", child))
	}
	if r.asJSON {
		return writeJSON(c, struct {
			Path     string   `json:"path"`
			Size     int64    `json:"size"`
			Before   string   `json:"parent_before,omitempty"`
			Parent   string   `json:"parent,omitempty"`
			Written  int64    `json:"written"`
			DryRun   bool     `json:"dry_run,omitempty"`
			Warnings []string `json:"warnings,omitempty"`
		}{child, d.Size, d.Parent, parent, d.Written, r.o.DryRun, d.Warnings})
	}
	warn(c, d.Warnings)
	_, err = fmt.Fprintln(c.OutOrStdout(), printable(child+": "+r.outcome(d, parent)))
	return err
}

func (r *rebase) outcome(d *tools.Rebased, parent string) string {
	on := "based on " + parent
	if parent == "" {
		on = "based on nothing"
	}
	switch stored := size.Format(d.Written); {
	case parent == "" && d.Parent == "":
		return "it is based on nothing already"
	case r.o.DryRun:
		return fmt.Sprintf("would be %s, with at most %s copied up; nothing was changed", on, stored)
	default:
		return fmt.Sprintf("%s now; %s were copied up", on, stored)
	}
}
