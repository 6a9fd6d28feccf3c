package tools

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// Description is what can be told of an image and of the images below it.
type Description struct {
	disk.Info
	Used   int64 // bytes that the image's own files take on the host
	Chain  []Description
	Broken error // why it does not open above its parents, or nil
}

// Describe opens path read-only and tells what it is. Chain lists its parents, the nearest first. Where the parents do not open, or the image does not fit
// them, Broken says why, and the rest is told of the image alone.
func Describe(path string, o disk.OpenOptions) (*Description, error) {
	o.ReadOnly = true
	i, parents, err := openChain(path, o)
	var broken error
	if err != nil {
		broken, parents = err, nil
		o.Alone = true
		if i, err = formats.Open(path, o); err != nil {
			return nil, broken
		}
	}
	defer i.Close()
	d := &Description{Broken: broken}
	if d.Info, d.Used, err = apart(i.Info(), parents); err != nil {
		return nil, err
	}
	for k, p := range parents {
		var link Description
		if link.Info, link.Used, err = apart(p, parents[k+1:]); err != nil {
			return nil, err
		}
		d.Chain = append(d.Chain, link)
	}
	return d, nil
}

// apart returns i without the files of its parents, which some formats count among its own, and what is left takes on the host.
func apart(i disk.Info, parents []disk.Info) (disk.Info, int64, error) {
	i.Files = slices.DeleteFunc(slices.Clone(i.Files), func(f string) bool {
		return slices.ContainsFunc(parents, func(p disk.Info) bool { return slices.Contains(p.Files, f) })
	})
	n, err := used(i.Files)
	return i, n, err
}

// openChain opens an image and tells what its parents are, the nearest first.
func openChain(path string, o disk.OpenOptions) (disk.Image, []disk.Info, error) {
	var parents []disk.Info
	o.Parents = func(path string, o disk.OpenOptions) (disk.Image, error) {
		i, err := formats.Open(path, o)
		if err == nil {
			parents = append(parents, i.Info())
		}
		return i, err
	}
	i, err := formats.Open(path, o)
	slices.Reverse(parents) // an image opens before the one above it
	return i, parents, err
}

// used adds up what files take on the host.
func used(files []string) (total int64, err error) {
	for _, f := range files {
		var st unix.Stat_t
		if err := unix.Stat(f, &st); err != nil {
			return 0, &os.PathError{Op: "stat", Path: f, Err: err}
		}
		total += st.Blocks * 512 // whatever the file system's own block is
	}
	return total, nil
}

// Check looks for contradictions in an image's metadata, as [formats.Check] does. An image that is too damaged to open is reported, not
// returned as an error.
func Check(path string, o disk.OpenOptions) (*disk.Report, error) {
	r, err := formats.Check(path, o)
	var broken *disk.FormatError
	if err == nil || !errors.As(err, &broken) || !errors.Is(broken, disk.ErrCorrupt) {
		return r, err
	}
	f, findErr := formats.Find(path, o.Format)
	if findErr != nil {
		return nil, fmt.Errorf("%w (%w)", err, findErr)
	}
	r = &disk.Report{Format: f.Name}
	r.Add(disk.Problem{Severity: disk.Damage, File: broken.File, Offset: broken.Offset, What: broken.Reason})
	return r, nil
}
