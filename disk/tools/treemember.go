package tools

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// maxMembers bounds how many images of a folder are looked at.
const maxMembers = 4096

// member is an image of a folder, and what it says of its parent.
type member struct {
	path         string
	info         disk.Info // without the parents' files; no Format if it does not open at all
	used         int64     // bytes that its files take on the host
	internal     []disk.Snapshot
	parent       string // where its parent is or should be, or empty
	parentFormat string // if the image says so
	problem      error  // why it does not open above that parent, or nil
	inUse        bool   // another program is writing to it
}

// members calls yield for the images of a folder that may have a parent or be one: those whose names tell their format, raw disks aside.
func members(ctx context.Context, files folders, folder string, o disk.OpenOptions, yield func(member)) error {
	names, err := files.List(folder)
	if err != nil {
		return err
	}
	slices.Sort(names)
	n := 0
	for _, name := range names {
		f, err := formats.Find(name, "")
		if err != nil || f.Name == "raw" || name[0] == '.' {
			continue
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if n++; n > maxMembers {
			return fmt.Errorf("%s: %w: more than %d images", folder, disk.ErrUnsupported, maxMembers)
		}
		o.Format = ""
		yield(examine(filepath.Join(folder, name), files, o))
	}
	return nil
}

// examine looks at an image and at its own link, whatever may be wrong with those below.
func examine(path string, files folders, o disk.OpenOptions) member {
	m := member{path: path}
	o.Files, o.ReadOnly, o.AllowStaleParent = files, true, false
	err := m.open(o)
	if errors.Is(err, disk.ErrLocked) {
		m.inUse, o.Shared = true, true
		err = m.open(o)
	}
	if err == nil {
		return m
	}
	m.problem, o.Alone, o.Shared = err, true, true
	if i, err := formats.Open(path, o); err == nil {
		m.take(i, disk.Info{})
		i.Close()
	}
	return m
}

// open fills in what an image tells when it is opened above its parent, which is opened alone.
func (m *member) open(o disk.OpenOptions) error {
	var below disk.Info
	o.Parents = func(path string, p disk.OpenOptions) (disk.Image, error) {
		p.Alone, p.Shared = true, true
		i, err := formats.Open(path, p)
		if err == nil {
			m.parent, below = filepath.Clean(path), i.Info()
		}
		m.parentFormat = p.Format
		return i, err
	}
	i, err := formats.Open(m.path, o)
	if err != nil {
		return err
	}
	m.take(i, below)
	return i.Close()
}

// take notes what an open image tells, whose parent is below.
func (m *member) take(i disk.Image, below disk.Info) {
	m.info, m.used, _ = apart(i.Info(), []disk.Info{below}) // of files that cannot be looked at nothing is used
	m.info.Path = m.path
	if m.parent == "" && m.info.Parent != "" {
		m.parent = filepath.Clean(m.info.Parent)
	}
	if s, ok := i.(disk.Snapshotter); ok {
		var err error
		if m.internal, err = s.Snapshots(); err != nil && m.problem == nil {
			m.problem = err
		}
	}
}
