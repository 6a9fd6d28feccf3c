package tools

import (
	"bytes"
	"context"
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// RebaseOptions says how to rebase.
type RebaseOptions struct {
	Open         disk.OpenOptions // of the child
	ParentFormat string           // of the new parent, or empty to go by its name
	DryRun       bool             // find out how much there is to do, and change nothing
	Progress     Progress
}

// Rebased is what Rebase, Relink or Flatten did, or after a dry run would do.
type Rebased struct {
	Size     int64    // bytes of the disk
	Parent   string   // before, or empty
	Written  int64    // bytes of the disk that the child had to store; after a dry run, at most so many
	Warnings []string // one sentence each
}

// Rebase has the image at path be based on parent instead of what it is based on now, and read as it did. What parent holds otherwise is
// stored in the image first, then the image is linked to parent: it reads the same at each moment, whatever is interrupted. Once the
// link is being changed ctx is no longer heeded.
func Rebase(ctx context.Context, path, parent string, o RebaseOptions) (*Rebased, error) {
	if samePath(path, parent) {
		return nil, fmt.Errorf("%s: an image cannot be based on itself", path)
	}
	p := o.Open
	p.ReadOnly, p.Format, p.Children = true, o.ParentFormat, []string{path}
	base, err := formats.Open(parent, p)
	if err != nil {
		return nil, fmt.Errorf("open the new parent: %w", err)
	}
	defer base.Close()
	return rebase(ctx, path, base, o)
}

// Flatten has the image at path store all that it now reads from parents, and stand alone. Holes stay holes. It may be interrupted as Rebase may.
func Flatten(ctx context.Context, path string, o RebaseOptions) (*Rebased, error) {
	return rebase(ctx, path, nil, o)
}

// rebase bases an image on base, or on nothing.
func rebase(ctx context.Context, path string, base disk.Image, o RebaseOptions) (r *Rebased, err error) {
	o.Open.ReadOnly = o.DryRun
	o.Open.KeepIdentity = true // it reads as before, and the images above it must still know it
	child, err := formats.Open(path, o.Open)
	if err != nil {
		return nil, err
	}
	closed := false
	defer func() {
		if !closed {
			child.Close()
		}
	}()
	info := child.Info()
	r = &Rebased{Size: info.Size, Parent: info.Parent}
	if base == nil && info.Parent == "" {
		return r, nil
	}
	linker, ok := child.(disk.Relinker)
	if !ok {
		return nil, fmt.Errorf("%s: %w: %s records no parent that could be changed; convert it instead", path, disk.ErrUnsupported, info.Format)
	}
	if err := noSnapshots(child, "would read otherwise above another parent"); err != nil {
		return nil, err
	}
	if base != nil {
		if err := accepts(path, info, base.Info(), o); err != nil {
			return nil, err
		}
	}
	l := &lift{child: child, base: base, progress: o.Progress, written: &r.Written, dry: o.DryRun}
	if err := l.run(ctx); err != nil || o.DryRun {
		return r, err
	}
	name := ""
	if base != nil {
		name = base.Info().Path
	}
	if err := linker.Relink(name, o.ParentFormat); err != nil {
		return nil, fmt.Errorf("%s: change its parent: %w", path, err)
	}
	closed = true
	return r, child.Close()
}

// accepts finds out whether an image of the child's format can have such a parent, before anything is copied for it: it has one made, on the stage.
func accepts(path string, child, parent disk.Info, o RebaseOptions) error {
	files, err := foldersOf(o.Open.Files)
	if err != nil {
		return err
	}
	s := &stage{folders: files}
	defer s.discard()
	err = formats.Create(path, disk.CreateOptions{
		Size: child.Size, Format: child.Format, Parent: parent.Path, ParentFormat: o.ParentFormat, AllowOutside: o.Open.AllowOutside, Files: s,
	})
	if err != nil {
		return fmt.Errorf("%s cannot be its parent: %w", parent.Path, err)
	}
	return nil
}

// lift has a child store what it reads from its parents and base, which is to be its next parent, holds otherwise.
type lift struct {
	child, base disk.Image // base may be nil, which is all zeroes
	progress    Progress
	written     *int64
	dry         bool // count what may differ, without reading it
}

func (l *lift) run(ctx context.Context) error {
	size := l.child.Size()
	l.progress.report(0, size)
	if l.dry {
		return l.differing(ctx, func(_, length int64) error {
			*l.written += length
			return nil
		})
	}
	align := int(granularity(l.child.Info().BlockSize))
	err := pipeline{
		buffers: 2,
		produce: func(emit func(off, length int64) error) error { return l.differing(ctx, emit) },
		work: func(p *piece) error {
			if err := read(l.child, p.buf, p.off); err != nil {
				return err
			}
			n := l.reaches(p.off, int64(len(p.other)))
			if n > 0 {
				if err := read(l.base, p.other[:n], p.off); err != nil {
					return err
				}
			}
			clear(p.other[n:])
			p.runs = appendDifferences(p.runs, p.buf, p.other, align)
			return nil
		},
		consume: func(p *piece) error {
			for _, r := range p.runs {
				if err := l.store(p.buf[r.from:r.to], p.off+int64(r.from)); err != nil {
					return failed("write", l.child.Info().Path, err)
				}
				*l.written += int64(r.to - r.from)
			}
			l.progress.report(p.off+int64(len(p.buf)), size)
			return nil
		},
	}.run(ctx)
	if err == nil {
		err = l.child.Flush()
	}
	if err == nil {
		l.progress.report(size, size)
	}
	return err
}

// reaches is how many of n bytes at off the next parent has.
func (l *lift) reaches(off, n int64) int64 {
	if l.base == nil {
		return 0
	}
	return max(0, min(n, l.base.Size()-off))
}

// differing calls yield for the ranges that the child does not store and that its parents or base do.
func (l *lift) differing(ctx context.Context, yield func(off, length int64) error) error {
	return walk(ctx, l.child, 0, l.child.Size(), func(e disk.Extent) error {
		switch n := l.reaches(e.Offset, e.Length); {
		case stores(e):
			return nil
		case e.Kind == disk.Data:
			return yield(e.Offset, e.Length)
		case n == 0:
			return nil
		default:
			return walk(ctx, l.base, e.Offset, n, func(e disk.Extent) error {
				if e.Kind != disk.Data {
					return nil
				}
				return yield(e.Offset, e.Length)
			})
		}
	})
}

// store has the child itself hold p from off on.
func (l *lift) store(p []byte, off int64) error {
	if isZero(p) {
		if err := l.child.WriteZeroes(off, int64(len(p)), true); err != nil {
			return err
		}
		// Where the present parents read as zeroes a format has no need to store anything, though the next one has other things there.
		stored := true
		err := l.child.Extents(off, int64(len(p)), func(e disk.Extent) bool {
			stored = stores(e)
			return stored
		})
		if err != nil || stored {
			return err
		}
	}
	_, err := l.child.WriteAt(p, off)
	return err
}

// appendDifferences appends the runs of blocks in which a and b differ, those of zeroes in a apart from others.
func appendDifferences(runs []run, a, b []byte, block int) []run {
	zero := false // the last run's kind
	for at := 0; at < len(a); at += block {
		end := min(at+block, len(a))
		if bytes.Equal(a[at:end], b[at:end]) {
			continue
		}
		z := isZero(a[at:end])
		if n := len(runs); n > 0 && runs[n-1].to == at && z == zero {
			runs[n-1].to = end
		} else {
			runs = append(runs, run{at, end})
		}
		zero = z
	}
	return runs
}
