package main

import (
	"errors"
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
		repair repairFlags
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Look for damage in an image's own tables, and repair it",
		Long: `Looks for contradictions in an image's tables: blocks used twice, places outside the file, wrong checksums and copies that
differ, and for space that nothing refers to. It does not judge the file systems on the disk. Without --repair it changes nothing.

With --repair, what can be put right from sound copies is, and lost space is given back. Before a byte is changed, what was there is saved in
FILE.undo; if the image is not better afterwards, or the command is interrupted, everything is put back. Damage that no copy can mend is
left as it is. "check --revert FILE.undo" takes a repair back as long as nobody has written to the image since.

Exits with status 1 when something is damaged, or still is after the repair; wasted space alone is no damage.`,
		Example: `  vmm disk check windows.vhd
  vmm disk check --json windows.vhdx | jq .problems
  vmm disk check --repair windows.vmdk
  vmm disk check --repair windows.vmdk --undo /var/tmp/windows.undo
  vmm disk check --revert windows.vmdk.undo`,
		Args:              operands(1, 1),
		ValidArgsFunction: completeImages(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := repair.agree(); err != nil {
				return &exitError{exitUsage, usageError(c, err)}
			}
			switch {
			case repair.revert:
				return repair.putBack(c, args[0], open.allowOutside, asJSON)
			case repair.repair:
				return repair.run(c, args[0], open.options(c), asJSON)
			}
			r, err := tools.Check(args[0], open.options(c))
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(c, newCheckResult(args[0], r))
			} else {
				err = writeReport(c.OutOrStdout(), args[0], r)
			}
			return errors.Join(err, verdict(r))
		},
	}
	open.add(c, "format")
	repair.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// verdict is the exit status that a report leads to.
func verdict(r *disk.Report) error {
	if worst, any := r.Worst(); any && worst > disk.Leak {
		return &exitError{exitFailed, nil}
	}
	return nil
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
	out.Problems = append(out.Problems, checkProblems(r.Problems)...)
	return out
}

func checkProblems(list []disk.Problem) (out []checkProblem) {
	for _, p := range list {
		out = append(out, checkProblem{p.Severity.String(), p.File, p.Offset, p.What})
	}
	return out
}

func problemLine(p disk.Problem) string {
	if p.Offset < 0 {
		return fmt.Sprintf("%s: %s: %s", p.File, p.Severity, p.What)
	}
	return fmt.Sprintf("%s: %s: at byte %d: %s", p.File, p.Severity, p.Offset, p.What)
}

// writeReport prints r for people.
func writeReport(w io.Writer, path string, r *disk.Report) (err error) {
	say := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintln(w, printable(fmt.Sprintf(format, args...)))
		}
	}
	for _, p := range r.Problems {
		say("%s", problemLine(p))
	}
	if r.More > 0 {
		say("and %d more", r.More)
	}
	found := "nothing wrong"
	if n := len(r.Problems) + int(r.More); n > 0 {
		found = plural(n, "problem")
	}
	if r.Total > 0 {
		found += fmt.Sprintf("; %d of %s of %s are stored", r.Allocated, plural(int(r.Total), "block"), size.Format(r.BlockSize))
	}
	if r.Leaked > 0 {
		found += fmt.Sprintf("; %s of the file are unused", size.Format(r.Leaked))
	}
	say("%s: %s", path, found)
	return err
}
