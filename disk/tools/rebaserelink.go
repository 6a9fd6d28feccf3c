package tools

import (
	"context"
	"errors"
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// Relink records that the parent of the image at path is at parent now, because it was moved or renamed. Nothing is read or copied. A parent
// that shows that it is another is refused with an error that wraps [disk.ErrStaleParent], unless o.Open.AllowStaleParent is set; where the
// format keeps nothing to tell it by, a warning says so.
func Relink(ctx context.Context, path, parent string, o RebaseOptions) (r *Rebased, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if samePath(path, parent) {
		return nil, fmt.Errorf("%s: an image cannot be based on itself", path)
	}
	o.Open.ReadOnly = o.DryRun
	// The image is opened above the file where its parent is now, whatever it says itself, and judges it by what it has recorded.
	substitute := o.Open
	substitute.AllowOutside = true // the recorded name is not followed
	var recorded string
	var found disk.Info
	substitute.Parents = func(at string, p disk.OpenOptions) (disk.Image, error) {
		if recorded == "" {
			recorded = at
		}
		p.Format, p.AllowOutside, p.Within, p.Parents = o.ParentFormat, o.Open.AllowOutside, "", nil
		i, err := formats.Open(parent, p)
		if err == nil {
			found = i.Info()
		}
		return i, err
	}
	i, err := formats.Open(path, substitute)
	if err != nil {
		return nil, err
	}
	info := i.Info()
	r = &Rebased{Size: info.Size, Parent: recorded, Warnings: info.Warnings}
	linker, ok := i.(disk.Relinker)
	switch {
	case info.Parent == "":
		err = fmt.Errorf("%s: it is based on no image; only a rebase that compares the two can make it so", path)
	case !ok:
		err = fmt.Errorf("%s: %w: %s records no parent that could be changed", path, disk.ErrUnsupported, info.Format)
	case !remembers(info, found):
		r.Warnings = append(r.Warnings, fmt.Sprintf("Nothing recorded tells whether %s is the parent that the image was made from.", parent))
	}
	if err == nil && !o.DryRun {
		err = linker.Relink(parent, o.ParentFormat)
	}
	if err = errors.Join(err, i.Close()); err != nil {
		return nil, err
	}
	return r, nil
}
