package main

import (
	"fmt"
	"io"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/tools"
	"github.com/sharevm/vmm/internal/size"
	"github.com/spf13/cobra"
)

func newDiskCheck() *cobra.Command {
	var (
		open   openFlags
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Look for damage in an image's own tables",
		Long: `Looks for contradictions in an image's tables: blocks used twice, places outside the file, wrong checksums and copies that
differ, and for space that nothing refers to. It changes nothing, and does not judge the file systems on the disk.

Exits with status 1 when something is damaged; wasted space alone is no damage.`,
		Example:           "  vmm disk check windows.vhd\n  vmm disk check --json windows.vhdx | jq .problems",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeImages(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := tools.Check(args[0], open.options(c))
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(c, newCheckResult(args[0], r))
			} else {
				err = writeReport(c.OutOrStdout(), args[0], r)
			}
			if worst, any := r.Worst(); err == nil && any && worst > disk.Leak {
				err = &exitError{exitFailed, nil}
			}
			return err
		},
	}
	open.add(c, "format")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// checkResult is the JSON form of a [disk.Report].
type checkResult struct {
	Path      string         `json:"path"`
	Format    string         `json:"format"`
	Clean     bool           `json:"clean"`
	Allocated int64          `json:"allocated_blocks"`
	Total     int64          `json:"total_blocks"`
	BlockSize int64          `json:"block_size"`
	Leaked    int64          `json:"leaked"`
	Problems  []checkProblem `json:"problems"`
	More      int64          `json:"more_problems,omitempty"`
}

type checkProblem struct {
	Severity string `json:"severity"`
	File     string `json:"file"`
	Offset   int64  `json:"offset"`
	What     string `json:"what"`
}

func newCheckResult(path string, r *disk.Report) checkResult {
	out := checkResult{
		Path: path, Format: r.Format, Clean: len(r.Problems) == 0, Allocated: r.Allocated, Total: r.Total, BlockSize: r.BlockSize, Leaked: r.Leaked,
		Problems: []checkProblem{}, More: r.More,
	}
	for _, p := range r.Problems {
		out.Problems = append(out.Problems, checkProblem{p.Severity.String(), p.File, p.Offset, p.What})
	}
	return out
}

// writeReport prints r for people.
func writeReport(w io.Writer, path string, r *disk.Report) (err error) {
	say := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintln(w, printable(fmt.Sprintf(format, args...)))
		}
	}
	for _, p := range r.Problems {
		if p.Offset < 0 {
			say("%s: %s: %s", p.File, p.Severity, p.What)
		} else {
			say("%s: %s: at byte %d: %s", p.File, p.Severity, p.Offset, p.What)
		}
	}
	if r.More > 0 {
		say("and %d more", r.More)
	}
	verdict := "nothing wrong"
	if n := len(r.Problems) + int(r.More); n > 0 {
		verdict = plural(n, "problem")
	}
	if r.Total > 0 {
		verdict += fmt.Sprintf("; %d of %s of %s are stored", r.Allocated, plural(int(r.Total), "block"), size.Format(r.BlockSize))
	}
	if r.Leaked > 0 {
		verdict += fmt.Sprintf("; %s of the file are unused", size.Format(r.Leaked))
	}
	say("%s: %s", path, verdict)
	return err
}
