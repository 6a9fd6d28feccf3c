package main

import (
	"errors"
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/tools"
	"github.com/sharevm/vmm/disk/undo"
	"github.com/sharevm/vmm/internal/size"
	"github.com/spf13/cobra"
)

// repairFlags are the options of check that change an image.
type repairFlags struct {
	repair, revert bool
	undo           string
	force, dryRun  bool
}

func (r *repairFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&r.repair, "repair", false, "put right what can be")
	f.StringVar(&r.undo, "undo", "", "save what --repair changes in `UNDO` (default: FILE.undo)")
	f.BoolVar(&r.revert, "revert", false, "put back what the undo file FILE has saved")
	f.BoolVar(&r.force, "force", false, "with --revert: even though the image has changed since")
	f.BoolVar(&r.dryRun, "dry-run", false, "with --repair or --revert: say what there would be to do, and change nothing")
	_ = c.MarkFlagFilename("undo", "undo")
}

// agree returns an error if the options contradict each other.
func (r *repairFlags) agree() error {
	switch {
	case r.repair && r.revert:
		return errors.New("--repair and --revert exclude each other")
	case r.undo != "" && !r.repair:
		return errors.New("--undo needs --repair")
	case r.force && !r.revert:
		return errors.New("--force needs --revert")
	case r.dryRun && !r.repair && !r.revert:
		return errors.New("--dry-run needs --repair or --revert")
	}
	return nil
}

// run repairs an image and says what is left.
func (r *repairFlags) run(c *cobra.Command, path string, o disk.OpenOptions, asJSON bool) error {
	if r.undo == "" {
		r.undo = path + ".undo"
	}
	done, err := tools.Repair(c.Context(), path, tools.RepairOptions{Open: o, Undo: r.undo, DryRun: r.dryRun})
	if err != nil {
		return err
	}
	if asJSON {
		result := struct {
			checkResult
			Mended   []checkProblem `json:"mended"`
			Undo     string         `json:"undo,omitempty"`
			Saved    int64          `json:"saved,omitempty"`
			Reverted string         `json:"reverted,omitempty"`
			DryRun   bool           `json:"dry_run,omitempty"`
		}{newCheckResult(path, done.After), append([]checkProblem{}, checkProblems(done.Mended)...), done.Undo, done.Saved, "", r.dryRun}
		if done.Reverted != nil {
			result.Reverted = done.Reverted.Error()
		}
		return errors.Join(writeJSON(c, result), verdict(done.After))
	}
	return errors.Join(r.say(c, path, done), verdict(done.After))
}

func (r *repairFlags) say(c *cobra.Command, path string, done *tools.Repaired) error {
	w := c.OutOrStdout()
	what := "mended"
	if r.dryRun {
		what = "would be mended"
	}
	for _, p := range done.Mended {
		if _, err := fmt.Fprintf(w, "%s: %s\n", what, printable(problemLine(p))); err != nil {
			return err
		}
	}
	switch {
	case r.dryRun && len(done.Mended) > 0:
		_, err := fmt.Fprintf(w, "%s: nothing was changed\n", printable(path))
		return err
	case done.Reverted != nil:
		if _, err := fmt.Fprintf(w, "%s: everything was put back, because %s\n", printable(path), printable(done.Reverted.Error())); err != nil {
			return err
		}
	case done.Undo != "":
		if _, err := fmt.Fprintf(w, "%s: what was there before is in %s (%s); check --revert puts it back\n", printable(path), printable(done.Undo), size.Format(done.Saved)); err != nil {
			return err
		}
	}
	return writeReport(w, path, done.After)
}

// putBack takes a repair back.
func (r *repairFlags) putBack(c *cobra.Command, path string, outside, asJSON bool) error {
	done, err := undo.Apply(path, undo.Options{AllowOutside: outside, Force: r.force, DryRun: r.dryRun})
	if errors.Is(err, undo.ErrChanged) {
		return fmt.Errorf("%w; --force puts it back nevertheless, which may ruin what was written since", err)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(c, struct {
			Undo     string   `json:"undo"`
			Files    []string `json:"files"`
			Bytes    int64    `json:"bytes"`
			Complete bool     `json:"complete"`
			DryRun   bool     `json:"dry_run,omitempty"`
		}{path, append([]string{}, done.Files...), done.Bytes, done.Complete, r.dryRun})
	}
	if !done.Complete {
		warn(c, []string{path + ": the repair that it belongs to did not come to its end"})
	}
	word := "put back"
	if r.dryRun {
		word = "to put back; nothing was changed"
	}
	for _, f := range done.Files {
		if _, err := fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", printable(f), word); err != nil {
			return err
		}
	}
	return nil
}
