package tools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/undo"
)

// RepairOptions says how to repair.
type RepairOptions struct {
	Open disk.OpenOptions
	// Undo is where what is changed is saved first; the file must not exist.
	Undo   string
	DryRun bool // find out what there is to do, and change nothing
}

// Repaired is what Repair did.
type Repaired struct {
	Before, After *disk.Report
	// Mended are the problems that are gone, or would be tried after a dry run.
	Mended []disk.Problem
	// Undo is the undo file, or empty if nothing was changed.
	Undo  string
	Saved int64 // bytes that were saved there
	// Reverted says why everything was put back, or is nil. Undo is empty then.
	Reverted error
}

// Repair puts right what a check of an image calls a leak or repairable. What it changes is saved first. If the image is not better afterwards, or the
// context ends on the way, everything is put back.
func Repair(ctx context.Context, path string, o RepairOptions) (*Repaired, error) {
	before, err := Check(path, o.Open)
	if err != nil {
		return nil, err
	}
	r := &Repaired{Before: before, After: before}
	f, err := formats.Find(path, o.Open.Format)
	if err != nil {
		return nil, err
	}
	hopeful := mendable(before)
	if f.Repair == nil || len(hopeful) == 0 {
		return r, nil
	}
	if o.DryRun {
		r.Mended = hopeful
		return r, nil
	}
	files, err := undo.New(o.Undo, o.Open.Files)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: an earlier repair can be taken back with it; move it away, or name another", err)
	}
	if err != nil {
		return nil, err
	}
	open := o.Open
	open.ReadOnly, open.Files = false, interrupted{ctx, files}
	repairErr := f.Repair(path, open)
	r.Saved = files.Saved()
	changed := files.Changed()
	if err := files.Close(); err != nil && repairErr == nil {
		repairErr = err
	}
	if !changed {
		return r, repairErr
	}
	if repairErr == nil {
		if r.After, err = Check(path, o.Open); err != nil {
			repairErr = fmt.Errorf("check it again: %w", err)
		} else if worse(r.After, before) {
			repairErr = errors.New("the result is worse than what was there")
		}
	}
	if repairErr == nil {
		r.Undo, r.Mended = o.Undo, gone(before, r.After)
		return r, nil
	}
	if err := revert(o.Undo, o.Open); err != nil {
		return nil, fmt.Errorf("%w; and it could not be put back, which %s is for: %w", repairErr, o.Undo, err)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r.After, r.Reverted = before, repairErr
	return r, nil
}

// revert puts everything back and removes the undo file.
func revert(path string, o disk.OpenOptions) error {
	if _, err := undo.Apply(path, undo.Options{Files: o.Files, AllowOutside: true, Force: true}); err != nil {
		return err
	}
	return disk.CreateOptions{Files: o.Files}.Remove(path)
}

// mendable returns what a repair may put right.
func mendable(r *disk.Report) (list []disk.Problem) {
	for _, p := range r.Problems {
		if p.Severity < disk.Damage {
			list = append(list, p)
		}
	}
	return list
}

// worse says whether a repair did harm: there is graver trouble than before, or more of the gravest, or less of the disk.
func worse(after, before *disk.Report) bool {
	a, anyA := after.Worst()
	b, anyB := before.Worst()
	if anyA && (!anyB || a > b) {
		return true
	}
	if after.Total < before.Total {
		return true
	}
	return damages(after) > damages(before)
}

func damages(r *disk.Report) int64 {
	n := int64(0)
	for _, p := range r.Problems {
		if p.Severity == disk.Damage {
			n++
		}
	}
	if n > 0 {
		n += r.More // they are not listed, so the worst is assumed
	}
	return n
}

// gone returns the problems of before that after does not list.
func gone(before, after *disk.Report) (list []disk.Problem) {
	left := map[disk.Problem]bool{}
	for _, p := range after.Problems {
		left[p] = true
	}
	for _, p := range before.Problems {
		if !left[p] {
			list = append(list, p)
		}
	}
	return list
}

// interrupted are files that nobody changes any more once the context has ended.
type interrupted struct {
	ctx context.Context
	disk.Files
}

// Open implements [disk.Files].
func (i interrupted) Open(path string, o disk.FileOptions) (disk.File, error) {
	f, err := i.Files.Open(path, o)
	if err != nil || !o.Write {
		return f, err
	}
	return interruptedFile{f, i.ctx}, nil
}

type interruptedFile struct {
	disk.File
	ctx context.Context
}

// ModTime is for [disk.ModTime].
func (f interruptedFile) ModTime() (time.Time, error) {
	t, ok := disk.ModTime(f.File)
	if !ok {
		return t, errors.ErrUnsupported
	}
	return t, nil
}

func (f interruptedFile) WriteAt(p []byte, off int64) (int, error) {
	if f.ctx.Err() != nil {
		return 0, context.Cause(f.ctx)
	}
	return f.File.WriteAt(p, off)
}

func (f interruptedFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	if f.ctx.Err() != nil {
		return 0, context.Cause(f.ctx)
	}
	return f.File.WritevAt(bufs, off)
}

func (f interruptedFile) Truncate(size int64) error {
	if f.ctx.Err() != nil {
		return context.Cause(f.ctx)
	}
	return f.File.Truncate(size)
}

func (f interruptedFile) Zero(off, length int64, unmap bool) error {
	if f.ctx.Err() != nil {
		return context.Cause(f.ctx)
	}
	return f.File.Zero(off, length, unmap)
}
