package tools

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// Reasons for which Commit refuses that an option lifts.
var (
	// ErrAbove: images are based on the child. Delete links them to its parent.
	ErrAbove = errors.New("other images are based on it")
	// ErrBeside: other images are based on the parent and would be broken. Force lets them be.
	ErrBeside = errors.New("other images are based on it too, and would no longer fit")
)

// above is an image that is based on the child of a Commit, open so that it can get another parent.
type above struct {
	path  string
	image disk.Relinker // nil in a dry run
}

// relatives finds the images in the folders of child and parent that are based on either.
func (c *commit) relatives(ctx context.Context) error {
	folders := []string{filepath.Dir(c.path)}
	if f := filepath.Dir(c.parentAt); !samePath(f, folders[0]) {
		folders = append(folders, f)
	}
	var over []member
	for _, folder := range folders {
		err := members(ctx, c.files, folder, c.o.Open, func(m member) {
			switch {
			case m.parent == "" || samePath(m.path, c.path):
			case samePath(m.parent, c.path):
				over = append(over, m)
			case samePath(m.parent, c.parentAt) && c.done.Moved > 0 && !c.spent:
				c.done.Broken = append(c.done.Broken, m.path)
			}
		})
		if err != nil {
			return err
		}
	}
	if len(c.done.Broken) > 0 && !remembers(c.child.Info(), c.parent.Info()) {
		// Nothing tells what a Commit has changed already. If there is nothing left to change, the others may be images that it has linked to the parent.
		same, err := c.same(ctx)
		if err != nil {
			return err
		}
		if same {
			c.spent, c.done.Broken = true, nil
		}
	}
	if len(c.done.Broken) > 0 && !c.o.Force {
		return fmt.Errorf("%s: %w: %s; rebase or flatten them first", c.parentAt, ErrBeside, strings.Join(c.done.Broken, ", "))
	}
	for _, m := range over {
		if !c.o.Delete {
			return fmt.Errorf("%s: %w (%s), so that it cannot become empty; delete it when it is committed, which links them to %s", c.path, ErrAbove, m.path, c.parentAt)
		}
		if err := c.hold(m); err != nil {
			return fmt.Errorf("%s: it is based on the image to be deleted, and must be linked to its parent: %w", m.path, err)
		}
	}
	return nil
}

// remembers says whether a child has recorded something by which it can tell that its parent was changed or is another.
func remembers(child, parent disk.Info) bool { return child.Format != "qcow2" && parent.ID != "" }

// hold opens an image above the child until it is linked to the parent.
func (c *commit) hold(m member) error {
	if m.problem != nil {
		return m.problem
	}
	c.done.Relinked = append(c.done.Relinked, m.path)
	o := c.o.Open
	o.Format, o.Alone, o.ReadOnly = "", true, c.o.DryRun
	i, err := formats.Open(m.path, o)
	if err != nil {
		return err
	}
	c.closes = append(c.closes, i)
	r, ok := i.(disk.Relinker)
	if !ok {
		return fmt.Errorf("%w: %s cannot get another parent; convert it", disk.ErrUnsupported, i.Info().Format)
	}
	c.above = append(c.above, above{m.path, r})
	return nil
}
