// Package formats opens, creates and checks a disk image of any format that vmm knows.
//
// The format comes from the file's extension or from the caller, never from the contents: whoever can write a raw disk could
// otherwise turn it into a header that names other files.
package formats

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/qcow2"
	"github.com/sharevm/vmm/disk/raw"
	"github.com/sharevm/vmm/disk/vdi"
	"github.com/sharevm/vmm/disk/vhd"
	"github.com/sharevm/vmm/disk/vhdx"
	"github.com/sharevm/vmm/disk/vmdk"
)

// Format is what a package below disk offers.
type Format struct {
	Name       string
	Extensions []string // lower case, with the dot
	ReadOnly   []string // extensions that are always opened read-only
	Variants   []string // that Create takes; the first is the default
	Open       func(path string, o disk.OpenOptions) (disk.Image, error)
	Create     func(path string, o disk.CreateOptions) error
	Check      func(path string, o disk.OpenOptions) (*disk.Report, error) // nil: the format has nothing to check
	// Repair puts right what Check calls a leak or repairable, without touching what it calls damage. It opens every file by o.Files,
	// and must leave nothing worse, wherever it is interrupted. Nil: the format has nothing to repair.
	Repair func(path string, o disk.OpenOptions) error
}

var all = []Format{
	{
		Name:       "raw",
		Extensions: []string{".raw", ".img", ".dd", ".bin", ".iso"},
		ReadOnly:   []string{".iso"},
		Open:       opener(raw.Open),
		Create:     raw.Create,
	},
	{
		Name:       "vmdk",
		Extensions: []string{".vmdk"},
		Variants:   []string{"monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized", "vmfs"},
		Open:       opener(vmdk.Open),
		Create:     vmdk.Create,
		Check:      vmdk.Check,
		Repair:     vmdk.Repair,
	},
	{
		Name:       "vhd",
		Extensions: []string{".vhd", ".avhd", ".vpc"},
		Variants:   []string{"dynamic", "fixed"},
		Open:       opener(vhd.Open),
		Create:     vhd.Create,
		Check:      vhd.Check,
		Repair:     vhd.Repair,
	},
	{
		Name:       "vhdx",
		Extensions: []string{".vhdx", ".avhdx"},
		Variants:   []string{"dynamic", "fixed"},
		Open:       opener(vhdx.Open),
		Create:     vhdx.Create,
		Check:      vhdx.Check,
		Repair:     vhdx.Repair,
	},
	{
		Name:       "vdi",
		Extensions: []string{".vdi"},
		Variants:   []string{"dynamic", "fixed"},
		Open:       opener(vdi.Open),
		Create:     vdi.Create,
		Check:      vdi.Check,
		Repair:     vdi.Repair,
	},
	{
		Name:       "qcow2",
		Extensions: []string{".qcow2"},
		Variants:   []string{"v3", "v2"},
		Open:       opener(qcow2.Open),
		Create:     qcow2.Create,
		Check:      qcow2.Check,
		Repair:     qcow2.Repair,
	},
}

// opener hides a package's own image type, and never makes an interface of its nil.
func opener[I disk.Image](open func(string, disk.OpenOptions) (I, error)) func(string, disk.OpenOptions) (disk.Image, error) {
	return func(path string, o disk.OpenOptions) (disk.Image, error) {
		i, err := open(path, o)
		if err != nil {
			return nil, err
		}
		return i, nil
	}
}

// All lists the formats.
func All() []Format { return slices.Clone(all) }

// Find returns the format called name or, if name is empty, the one of path's extension.
func Find(path, name string) (Format, error) {
	ext := strings.ToLower(filepath.Ext(path))
	var names []string
	for _, f := range all {
		if name != "" && strings.EqualFold(f.Name, name) || name == "" && slices.Contains(f.Extensions, ext) {
			return f, nil
		}
		names = append(names, f.Name)
	}
	if name != "" {
		return Format{}, fmt.Errorf("%s: %w: no format is called %q (there are %s)", path, disk.ErrUnsupported, name, strings.Join(names, ", "))
	}
	if path == "" {
		return Format{}, errors.New("the name of the image is empty")
	}
	return Format{}, fmt.Errorf("%s: %w: %w (one of %s)", path, disk.ErrUnsupported, ErrUnnamed, strings.Join(names, ", "))
}

// ErrUnnamed says that a format has to be named, since the file's name does not tell it.
var ErrUnnamed = errors.New("its name does not say which format it is")

// Open opens an image. Failures to open it for writing, a locked file for example, are errors; it is never opened read-only
// instead, except for CD-ROM images, which are never written.
func Open(path string, o disk.OpenOptions) (disk.Image, error) {
	f, err := Find(path, o.Format)
	if err != nil {
		return nil, err
	}
	if slices.Contains(f.ReadOnly, strings.ToLower(filepath.Ext(path))) {
		o.ReadOnly = true
	}
	if o.Parents == nil {
		o.Parents = Open // any format may be the parent of any
	}
	return f.Open(path, o)
}

// Create makes an empty image that reads as zeroes or, with o.Parent, as that image.
func Create(path string, o disk.CreateOptions) error {
	f, err := Find(path, o.Format)
	if err != nil {
		return err
	}
	if o.Parents == nil {
		o.Parents = Open
	}
	return f.Create(path, o)
}

// Check looks for contradictions in an image's metadata. It changes nothing.
func Check(path string, o disk.OpenOptions) (*disk.Report, error) {
	f, err := Find(path, o.Format)
	if err != nil {
		return nil, err
	}
	if f.Check == nil {
		return &disk.Report{Format: f.Name}, nil
	}
	o.ReadOnly = true
	return f.Check(path, o)
}
