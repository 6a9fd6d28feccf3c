package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/sharevm/vmm/config/vmsd"
	"github.com/sharevm/vmm/config/vmx"
	"github.com/sharevm/vmm/disk/tools"
)

// album is what VMware's files say of the images in a tree.
type album struct {
	snapshots map[string][]albumSnapshot // by the whole path of the image that was frozen
	machines  map[string][]albumMachine  // by that of the image that is written to
	warnings  []string
}

// albumSnapshot is a snapshot of a machine, at one of its disks.
type albumSnapshot struct {
	vmsd.Snapshot
	node string // "scsi0:0"
}

// albumMachine is a machine that has an image as its disk.
type albumMachine struct{ file, node string }

// findAlbum finds out where to look for the images that arg stands for, and reads what VMware's files say of them.
func findAlbum(arg string, o *tools.TreeOptions) (*album, error) {
	st, err := os.Stat(arg)
	if err != nil {
		return nil, err
	}
	a := &album{snapshots: map[string][]albumSnapshot{}, machines: map[string][]albumMachine{}}
	o.Folder = filepath.Dir(arg)
	switch {
	case st.IsDir():
		o.Folder = arg
		a.readAll(o)
	case hasExt(arg, ".vmx"), hasExt(arg, ".vmsd"):
		stem := strings.TrimSuffix(arg, filepath.Ext(arg))
		if err := a.read(arg, o); err != nil {
			return nil, err
		}
		for _, ext := range []string{".vmx", ".vmsd"} {
			if _, err := os.Stat(stem + ext); err == nil && !hasExt(arg, ext) {
				a.note(a.read(stem+ext, o))
			}
		}
		o.Only = slices.Clone(o.Also)
		if len(o.Only) == 0 {
			return nil, fmt.Errorf("%s: it names no disk", arg)
		}
	default:
		a.readAll(o)
		o.Also = append(o.Also, arg)
		o.Only = []string{arg}
	}
	return a, nil
}

// readAll reads all of VMware's files in the folder.
func (a *album) readAll(o *tools.TreeOptions) {
	list, _ := os.ReadDir(o.Folder) // whether it can be read will show at once
	for _, e := range list {
		if e.Type().IsRegular() && (hasExt(e.Name(), ".vmx") || hasExt(e.Name(), ".vmsd")) {
			a.note(a.read(filepath.Join(o.Folder, e.Name()), o))
		}
	}
}

func (a *album) note(err error) {
	if err != nil {
		a.warnings = append(a.warnings, err.Error())
	}
}

// read reads a .vmx or a .vmsd.
func (a *album) read(path string, o *tools.TreeOptions) error {
	if hasExt(path, ".vmx") {
		return a.readMachine(path, o)
	}
	list, err := vmsd.Open(path)
	if err != nil {
		return err
	}
	for _, s := range list {
		for _, d := range s.Disks {
			if at := a.place(path, d.File, o); at != "" {
				a.snapshots[at] = append(a.snapshots[at], albumSnapshot{s, d.Node})
			}
		}
	}
	return nil
}

// diskKey is what names a disk in a .vmx.
var diskKey = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)^((?:scsi|sata|nvme|ide)\d+:\d+)\.fileName$`) })

// readMachine looks for the disks of a .vmx that VMware would open, without judging the rest of it.
func (a *album) readMachine(path string, o *tools.TreeOptions) error {
	f, err := vmx.Open(path)
	if err != nil {
		return err
	}
	for _, key := range f.Keys() {
		m := diskKey().FindStringSubmatch(key)
		if m == nil {
			continue
		}
		node := m[1]
		present, err := f.Bool(node+".present", true)
		kind, _ := f.Get(node + ".deviceType")
		name, _ := f.Get(key)
		if err != nil || !present || strings.Contains(strings.ToLower(kind), "cdrom") || hasExt(name, ".iso") || name == "" {
			continue
		}
		if at := a.place(path, name, o); at != "" {
			a.machines[at] = append(a.machines[at], albumMachine{path, node})
		}
	}
	return nil
}

// place finds the image that a file of VMware's names, has it looked at, and returns its whole path; or "" if it lies outside the folder and that is not allowed.
func (a *album) place(by, name string, o *tools.TreeOptions) string {
	at := strings.ReplaceAll(name, `\`, "/")
	if !filepath.IsAbs(at) {
		at = filepath.Join(filepath.Dir(by), at)
	}
	if rel, err := filepath.Rel(filepath.Dir(by), at); !o.Open.AllowOutside && (err != nil || !filepath.IsLocal(rel)) {
		a.warnings = append(a.warnings, fmt.Sprintf("%s: the disk %s lies outside its folder and is not looked at; --allow-outside allows it", by, name))
		return ""
	}
	if !slices.Contains(o.Also, at) {
		o.Also = append(o.Also, at)
	}
	return whole(at)
}

// of returns what is said of an image.
func (a *album) of(path string) ([]albumSnapshot, []albumMachine) {
	return a.snapshots[whole(path)], a.machines[whole(path)]
}

// whole makes a path one that does not depend on the folder that one is in.
func whole(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
