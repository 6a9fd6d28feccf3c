package tools

import (
	"context"
	"errors"
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// CommitOptions says how to commit.
type CommitOptions struct {
	Open   disk.OpenOptions // of the child
	Delete bool             // remove the child instead of leaving it empty; images above it go to its parent
	Force  bool             // although other images are based on the parent, which they will no longer fit
	DryRun bool             // find out whether it can be done, and change nothing
	// Moved, if set with Delete, is called when the parent durably holds all that the child stores, before the child goes: for whoever names the child and is to name the parent from
	// then on. An error ends the Commit there.
	Moved func() error
	// Progress is told how much of the disk has been gone through.
	Progress Progress
}

// Committed is what Commit did, or after a dry run would do.
type Committed struct {
	Parent   string
	Size     int64    // bytes of the disk
	Moved    int64    // bytes of it that the child stored itself
	Grown    bool     // the parent had to become as large as the child
	Relinked []string // images above the child that are now the parent's children
	Removed  []string // the child's files, if it was deleted
	Broken   []string // images that no longer fit the parent
	Warnings []string // one sentence each
}

// Commit brings what the image at path stores itself down into its parent. Then path is an empty image above the parent or, with
// o.Delete, gone.
//
// At each moment the child reads as before, whatever is interrupted:
//
//   - While blocks are copied, the child's own mask what is being written, and the parent keeps the identity by which the child knows it. Here, and only
//     here, ctx is heeded; another Commit starts from the beginning.
//   - When all of them are durable, the parent gets a new identity, so that other children notice that it changed. The child does not fit it either until
//     it is replaced, a moment later: after a crash in between it refuses to open, and loses nothing. Another Commit sees that the parent holds all that the
//     child does, and goes on from there.
//   - The empty child is made under another name and moved over the old one, which is atomic. With o.Delete the images above the child are
//     linked to the parent first, and the child is removed when nothing refers to it.
//
// A child in several files becomes one in a single file, for no host can exchange several at once. A crash after the exchange may leave its
// extents behind, which nothing refers to any more.
func Commit(ctx context.Context, path string, o CommitOptions) (*Committed, error) {
	files, err := foldersOf(o.Open.Files)
	if err != nil {
		return nil, err
	}
	c := &commit{path: path, files: files, o: o}
	c.o.Open.Files = files
	defer c.close()
	if err := c.begin(ctx); err != nil {
		return nil, err
	}
	if err := c.judge(ctx); err != nil || o.DryRun {
		return &c.done, err
	}
	if !c.spent {
		if err := c.reopen(); err != nil {
			return nil, err
		}
		if err := c.copy(ctx); err != nil {
			return nil, err
		}
	}
	if err := c.replace(); err != nil {
		return nil, err
	}
	return &c.done, nil
}

// commit is a Commit under way.
type commit struct {
	path  string
	files folders
	o     CommitOptions
	done  Committed

	child, parent disk.Image // parent is closed by child
	parentAt      string
	parentOptions disk.OpenOptions // for opening the parent by itself
	// spent says that the parent holds all that the child stores: an earlier Commit ended after its copying.
	spent  bool
	first  disk.Extent  // something that the child stores itself, if Moved is not 0
	guard  disk.Image   // the child by itself, which keeps others from writing to it to the end
	above  []above      // images based on the child
	closes []disk.Image // all else to close
}

// begin opens the child above its parent, both for reading, and keeps others from writing to the child.
func (c *commit) begin(ctx context.Context) (err error) {
	if err := noLink(c.path); err != nil {
		return err
	}
	alone := c.o.Open
	alone.Alone, alone.ReadOnly = true, true
	if c.guard, err = formats.Open(c.path, alone); err != nil {
		return err
	}
	err = c.open(false, c.o.Open.AllowStaleParent)
	if errors.Is(err, disk.ErrStaleParent) {
		err = c.resume(ctx, err)
	}
	if err != nil {
		return err
	}
	if c.parent == nil {
		return fmt.Errorf("%s: it is based on no other image, so that there is nothing to commit it to", c.path)
	}
	c.done.Parent, c.done.Size = c.parentAt, c.child.Size()
	return nil
}

// reopen opens the two once more, the parent for writing.
func (c *commit) reopen() error {
	if err := c.child.Close(); err != nil {
		return err
	}
	return c.open(true, c.o.Open.AllowStaleParent)
}

// open opens the child for reading, and its parent too or, with write, for writing with the identity that the child expects.
func (c *commit) open(write, stale bool) (err error) {
	c.child, c.parent = nil, nil
	o := c.o.Open
	o.ReadOnly, o.AllowStaleParent = true, stale
	o.Parents = func(path string, p disk.OpenOptions) (disk.Image, error) {
		direct := len(p.Children) == 1
		if direct {
			c.parentAt, c.parentOptions = path, c.o.Open
			c.parentOptions.Format = p.Format
			p.ReadOnly, p.KeepIdentity = !write, true
		}
		i, err := formats.Open(path, p)
		if direct && err == nil {
			c.parent = i
		}
		return i, err
	}
	if c.child, err = formats.Open(c.path, o); err != nil {
		c.child = nil
		return err
	}
	if write && c.parent != nil && c.parent.Info().ReadOnly {
		return fmt.Errorf("%s: %w, so that nothing can be committed to it", c.parentAt, disk.ErrReadOnly)
	}
	return nil
}

// resume looks whether a child that does not fit its parent is what an earlier Commit left after its copying: then the parent
// holds all that the child stores, and the two read the same. Otherwise it returns why.
func (c *commit) resume(ctx context.Context, why error) error {
	if err := c.open(false, true); err != nil {
		return errors.Join(why, err)
	}
	same, err := c.same(ctx)
	if err != nil {
		return errors.Join(why, err)
	}
	if !same {
		return fmt.Errorf("%w; if a commit of this image was killed, and nobody has written to the parent since, allow it to go on", why)
	}
	c.spent = true
	return nil
}

// stores says whether an image stores an extent itself.
func stores(e disk.Extent) bool { return e.Depth == 0 && e.Kind != disk.Hole }

// same says whether the parent holds all that the child stores.
func (c *commit) same(ctx context.Context) (bool, error) {
	if c.parent.Size() < c.child.Size() {
		return false, nil
	}
	err := pipeline{
		buffers: 2,
		produce: func(emit func(off, length int64) error) error {
			return walk(ctx, c.child, 0, c.child.Size(), func(e disk.Extent) error {
				if !stores(e) {
					return nil
				}
				if e.Kind == disk.Data {
					return emit(e.Offset, e.Length)
				}
				return walk(ctx, c.parent, e.Offset, e.Length, func(e disk.Extent) error {
					if e.Kind != disk.Data {
						return nil
					}
					return emit(e.Offset, e.Length)
				})
			})
		},
		work: func(p *piece) error {
			if err := read(c.child, p.buf, p.off); err != nil {
				return err
			}
			if err := read(c.parent, p.other, p.off); err != nil {
				return err
			}
			if string(p.buf) != string(p.other) {
				return errDiffer
			}
			return nil
		},
		consume: func(*piece) error { return nil },
	}.run(ctx)
	if errors.Is(err, errDiffer) {
		return false, nil
	}
	return err == nil, err
}

// noSnapshots refuses an image that keeps snapshots in its own file, to which something would happen.
func noSnapshots(i disk.Image, what string) error {
	s, ok := i.(disk.Snapshotter)
	if !ok {
		return nil
	}
	list, err := s.Snapshots()
	if err == nil && len(list) > 0 {
		err = fmt.Errorf("%s: %w: it keeps snapshots in its own file (%q), which %s", i.Info().Path, disk.ErrUnsupported, list[0].Name, what)
	}
	return err
}

// judge finds out what there is to do, and whether it may be done.
func (c *commit) judge(ctx context.Context) error {
	size := c.child.Size()
	if err := noSnapshots(c.child, "would be lost"); err != nil {
		return err
	}
	err := walk(ctx, c.child, 0, size, func(e disk.Extent) error {
		if stores(e) {
			if c.done.Moved == 0 {
				c.first = e
			}
			c.done.Moved += e.Length
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	case c.parent.Size() > size:
		c.done.Warnings = append(c.done.Warnings, fmt.Sprintf("%s has %d bytes more than the child, and keeps them.", c.parentAt, c.parent.Size()-size))
	case c.parent.Size() < size:
		if _, ok := c.parent.(disk.Resizer); !ok {
			return fmt.Errorf("%s: %w: it is smaller than its child, and cannot grow in its format; flatten the child instead, or convert it", c.parentAt, disk.ErrUnsupported)
		}
		c.done.Grown = true
	}
	if !c.o.Delete {
		if err := c.empty(false); err != nil {
			return fmt.Errorf("%s: it cannot be replaced by an empty image: %w", c.path, err)
		}
	}
	return c.relatives(ctx)
}

// copy brings the child's blocks into the parent, durably.
func (c *commit) copy(ctx context.Context) error {
	if c.done.Grown {
		if err := c.parent.(disk.Resizer).Resize(c.child.Size()); err != nil {
			return fmt.Errorf("%s: grow it to the size of its child: %w", c.parentAt, err)
		}
	}
	size, report := c.child.Size(), c.o.Progress.report
	report(0, size)
	// Zeroes may be many times longer than data, and need not be read.
	err := walk(ctx, c.child, 0, size, func(e disk.Extent) error {
		const step = 1 << 30 // an extent may be as long as the disk
		for off, end := e.Offset, e.Offset+e.Length; off < end && stores(e) && e.Kind == disk.Zero; off += step {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := c.zero(off, min(step, end-off)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	align := int(granularity(c.parent.Info().BlockSize))
	err = pipeline{
		buffers: 1,
		produce: func(emit func(off, length int64) error) error {
			return walk(ctx, c.child, 0, size, func(e disk.Extent) error {
				if !stores(e) || e.Kind != disk.Data {
					return nil
				}
				return emit(e.Offset, e.Length)
			})
		},
		work: func(p *piece) error {
			if err := read(c.child, p.buf, p.off); err != nil {
				return err
			}
			p.runs = appendRuns(p.runs, p.buf, align)
			return nil
		},
		consume: func(p *piece) error {
			if err := c.store(p); err != nil {
				return err
			}
			report(p.off+int64(len(p.buf)), size)
			return nil
		},
	}.run(ctx)
	if err != nil {
		return err
	}
	if err := c.parent.Flush(); err != nil {
		return failed("write", c.parentAt, err)
	}
	report(size, size)
	return nil
}

// store writes a piece of the child to the parent: its runs as data, and zeroes around them.
func (c *commit) store(p *piece) error {
	at := 0
	for _, r := range p.runs {
		if err := c.zero(p.off+int64(at), int64(r.from-at)); err != nil {
			return err
		}
		if _, err := c.parent.WriteAt(p.buf[r.from:r.to], p.off+int64(r.from)); err != nil {
			return failed("write", c.parentAt, err)
		}
		at = r.to
	}
	return c.zero(p.off+int64(at), int64(len(p.buf)-at))
}

func (c *commit) zero(off, length int64) error {
	if length == 0 {
		return nil
	}
	if err := c.parent.WriteZeroes(off, length, true); err != nil {
		return failed("write", c.parentAt, err)
	}
	return nil
}

func (c *commit) close() {
	for _, i := range append(c.closes, c.child, c.guard) {
		if i != nil {
			i.Close()
		}
	}
}
