package tools

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// replace has the child give up what the parent holds now.
func (c *commit) replace() error {
	err := c.child.Close() // and the parent, with all that was written
	c.child = nil
	if err != nil {
		return fmt.Errorf("%s: %w", c.parentAt, err)
	}
	if c.o.Delete && c.o.Moved != nil {
		if err := c.o.Moved(); err != nil {
			return fmt.Errorf("%s: %s holds all that it stores, but: %w", c.path, c.parentAt, err)
		}
	}
	if c.done.Moved > 0 && !c.spent {
		if err := c.renew(); err != nil {
			return fmt.Errorf("%s: give it a new identity: %w", c.parentAt, err)
		}
	}
	switch {
	case c.o.Delete:
		err = c.remove()
	case c.done.Moved > 0 || c.spent:
		err = c.empty(true)
	}
	if err != nil {
		return fmt.Errorf("%s: %s holds all that it stores, but: %w", c.path, c.parentAt, err)
	}
	return nil
}

// renew changes what children know the parent by, in a session of its own, by writing a little as it is.
func (c *commit) renew() (err error) {
	o := c.parentOptions
	o.ReadOnly = false
	p, err := formats.Open(c.parentAt, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if c.first.Kind == disk.Zero {
		return p.WriteZeroes(c.first.Offset, c.first.Length, true)
	}
	buf := make([]byte, min(c.first.Length, 4096))
	if err := read(p, buf, c.first.Offset); err != nil {
		return err
	}
	if _, err := p.WriteAt(buf, c.first.Offset); err != nil {
		return err
	}
	return p.Flush()
}

// empty makes an empty image like the child and, with publish, puts it in its place.
func (c *commit) empty(publish bool) error {
	s := &stage{folders: c.files}
	defer s.discard()
	info := c.guard.Info()
	o := disk.CreateOptions{
		Size: info.Size, Format: info.Format, Parent: c.parentAt, ParentFormat: c.parentOptions.Format,
		AllowOutside: c.o.Open.AllowOutside, Logger: c.o.Open.Logger, Files: s,
	}
	f, err := formats.Find(c.path, info.Format)
	if err != nil {
		return err
	}
	if len(info.Files) == 1 {
		o.BlockSize = info.BlockSize
		if slices.Contains(f.Variants, info.Variant) {
			o.Variant = info.Variant
		}
	}
	if err := formats.Create(c.path, o); err != nil || !publish {
		return err
	}
	if err := s.publish(true); err != nil {
		return err
	}
	return c.drop(info.Files[1:])
}

// remove deletes the child, which nothing refers to when its children are the parent's.
func (c *commit) remove() error {
	for _, a := range c.above {
		if err := a.image.Relink(c.parentAt, c.parentOptions.Format); err != nil {
			return fmt.Errorf("link %s to it: %w", a.path, err)
		}
		if err := a.image.Close(); err != nil {
			return fmt.Errorf("link %s to it: %w", a.path, err)
		}
	}
	return c.drop(c.guard.Info().Files)
}

// drop removes files of the child, its own first, so that no crash leaves one that names what is gone.
func (c *commit) drop(paths []string) error {
	for _, path := range paths {
		if err := c.files.Remove(path); err != nil {
			return err
		}
		if c.o.Delete {
			c.done.Removed = append(c.done.Removed, path)
		}
	}
	return nil
}
