package vmdk

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
)

var _ disk.Relinker = (*Image)(nil)

// Relink implements [disk.Relinker]. Only sparse disks can have a parent.
func (i *Image) Relink(parent, format string) error {
	if err := i.relink(parent, format); err != nil {
		return fmt.Errorf("%s: link to a parent: %w", i.info.Path, err)
	}
	return nil
}

func (i *Image) relink(parent, format string) error {
	if err := i.changeable(); err != nil {
		return err
	}
	a := ancestry{cid: noParent}
	if parent != "" {
		if k := slices.IndexFunc(i.parts, func(p part) bool { return p.flat() }); k >= 0 {
			return fmt.Errorf("%w: only sparse extents can be based on a parent, and extent %d is %s", disk.ErrUnsupported, k+1, i.parts[k].Type)
		}
		var err error
		if a, err = i.ancestry(parent, format); err != nil {
			return err
		}
	}
	edits, err := i.descriptor.linkTo(a)
	if err != nil {
		return err
	}
	if err := i.change(edits); err != nil {
		return err
	}
	i.info.Parent = parent
	return nil
}

// ancestry looks at an image that is to be the parent.
func (i *Image) ancestry(parent, format string) (a ancestry, err error) {
	o := i.options
	img, name, err := chain.Base(i.info.Path, disk.CreateOptions{
		Parent: parent, ParentFormat: format, AllowOutside: o.AllowOutside, Parents: o.Parents, Logger: o.Logger, Files: o.Files,
	}, openOwn)
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, img.Close()) }()
	own, err := filepath.Abs(i.info.Path)
	if err != nil {
		return a, err
	}
	for _, f := range img.Info().Files {
		if abs, err := filepath.Abs(f); err != nil || abs == own {
			return a, fmt.Errorf("%s is based on this image itself", parent)
		}
	}
	return ancestry{identify(img), name}, nil
}

// changeable says why the image cannot be changed as a whole, if so.
func (i *Image) changeable() error {
	if err := i.Flush(); err != nil {
		return err
	}
	if i.options.ReadOnly {
		return disk.ErrReadOnly
	}
	return nil
}
