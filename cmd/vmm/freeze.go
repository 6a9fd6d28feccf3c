package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/config/vmsd"
	"github.com/sharevm/vmm/config/vmx"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
	"github.com/sharevm/vmm/machine/control"
	"github.com/sharevm/vmm/machine/snapshot"
)

// freezing is a running machine whose disks are about to be frozen: each gets a child, as VMware makes them, that the machine goes on with.
type freezing struct {
	vmx      string
	before   *vmx.File // as it was
	children []control.Child
	files    map[string]*os.File // of children and what they are based on, by the names in children
	frozen   map[string]string   // addresses of the disks, by the paths of the images that are frozen
	below    []string            // the files of the frozen images, those of their parents included
	disks    []vmsd.Disk
}

// writesForGood says whether a machine writes to a disk for good.
func writesForGood(d control.Disk) bool { return d.File != "" && !d.ReadOnly && !d.Discards }

// newFreezing makes the children of a machine's disks. Nothing uses them yet.
func newFreezing(status control.Status) (_ *freezing, err error) {
	z := &freezing{vmx: status.File, files: map[string]*os.File{}, frozen: map[string]string{}}
	if z.before, err = vmx.Open(status.File); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, z.undo())
		}
	}()
	for _, d := range status.Disks {
		if !writesForGood(d) {
			continue
		}
		if err := canFreeze(z.before, d.Address, d.File); err != nil {
			return nil, err
		}
		if err := z.add(d); err != nil {
			return nil, fmt.Errorf("disk %s: %w", d.Address, err)
		}
	}
	return z, nil
}

// canFreeze says why a disk cannot be frozen, if it cannot. file is its image as far as the one who asks knows.
func canFreeze(f *vmx.File, address, file string) error {
	mode, _ := f.Get(address + ".mode")
	switch {
	case strings.HasPrefix(strings.ToLower(mode), "independent"):
		return fmt.Errorf("disk %s is independent (%s.mode), so that it is in no snapshot and a running machine has none: make it persistent, or use vmm suspend", address, address)
	case !hasExt(file, ".vmdk"):
		return fmt.Errorf("disk %s is %s: snapshots of machines that write to their disks are VMware's own, of VMDKs (vmm disk convert); vmm suspend works with every format", address, filepath.Base(file))
	case diskAt(f, address) != file:
		return fmt.Errorf("disk %s is %s, which is not what %s says", address, file, f.Name())
	}
	return nil
}

// diskAt is the absolute path of the image that a .vmx names for a disk, or "".
func diskAt(f *vmx.File, address string) string {
	name, _ := f.Get(address + ".fileName")
	if name == "" {
		return ""
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(f.Name()), name)
	}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return name
	}
	return real
}

// add makes a child of a disk and opens all files of the chain for the machine.
func (z *freezing) add(d control.Disk) error {
	path, err := tools.OverlayName(d.File, "", "vmdk", nil)
	if err != nil {
		return err
	}
	// The machine writes to the parent, which keeps its identity meanwhile.
	shared := func(path string, o disk.OpenOptions) (disk.Image, error) {
		o.Shared = true
		return formats.Open(path, o)
	}
	if err := formats.Create(path, disk.CreateOptions{Format: "vmdk", Parent: d.File, Parents: shared, AllowOutside: true}); err != nil {
		return err
	}
	child := control.Child{Disk: d.Address, Path: path, Files: map[string]string{}}
	z.children = append(z.children, child)
	own, below, err := chainFiles(path)
	if err != nil {
		return err
	}
	for i, file := range append(own, below...) {
		flag := os.O_RDONLY
		if i < len(own) {
			flag = os.O_RDWR
		}
		f, err := os.OpenFile(file, flag, 0)
		if err != nil {
			return err
		}
		name := "disk-file-" + strconv.Itoa(len(z.files))
		z.files[name], child.Files[file] = f, name
	}
	z.below = append(z.below, below...)
	z.frozen[d.File] = d.Address
	z.disks = append(z.disks, vmsd.Disk{File: inFolder(z.vmx, d.File), Node: d.Address})
	return nil
}

// chainFiles are the files of an image, and those of all that it is based on, by absolute paths.
func chainFiles(path string) (own, below []string, err error) {
	i, err := formats.Open(path, disk.OpenOptions{ReadOnly: true, AllowOutside: true, Shared: true})
	if err != nil {
		return nil, nil, err
	}
	all := i.Info().Files
	if err := i.Close(); err != nil {
		return nil, nil, err
	}
	alone, err := formats.Open(path, disk.OpenOptions{ReadOnly: true, AllowOutside: true, Shared: true, Alone: true})
	if err != nil {
		return nil, nil, err
	}
	n := len(alone.Info().Files)
	if err := alone.Close(); err != nil {
		return nil, nil, err
	}
	for k := range all {
		if all[k], err = filepath.Abs(all[k]); err != nil {
			return nil, nil, err
		}
	}
	return all[:n], all[n:], nil
}

// inFolder is how files beside a .vmx name a path: relative where it lies in their folder.
func inFolder(vmx, path string) string { return short(filepath.Dir(vmx), path) }

// point has the .vmx name the children.
func (z *freezing) point() error {
	f, err := vmx.Open(z.vmx)
	if err != nil {
		return err
	}
	for _, c := range z.children {
		if err := f.Set(c.Disk+".fileName", inFolder(z.vmx, c.Path)); err != nil {
			return err
		}
	}
	return f.Save(z.vmx)
}

// close closes the files, which the machine has descriptors of its own of.
func (z *freezing) close() {
	for _, f := range z.files {
		f.Close()
	}
}

// undo removes what was made.
func (z *freezing) undo() error {
	z.close()
	err := z.before.Save(z.vmx)
	for _, c := range z.children {
		err = errors.Join(err, os.Remove(c.Path))
	}
	return err
}

// taken says whether the machine goes on with the children. Where nobody knows they are left alone.
func (z *freezing) taken(ctx context.Context, client control.Client) bool {
	status, err := client.Status(context.WithoutCancel(ctx))
	return err != nil || slices.ContainsFunc(status.Disks, func(d control.Disk) bool {
		return slices.ContainsFunc(z.children, func(c control.Child) bool { return c.Path == d.File })
	})
}

// saveFrozen saves a running machine that writes to disks for good, and has it go on with children of these.
func saveFrozen(ctx context.Context, client control.Client, dir, name string, status control.Status) (err error) {
	if isFolder(dir) {
		return fmt.Errorf("there is a snapshot %q already, which disks are frozen for: delete it first, or choose another name", name)
	}
	list := stem(status.File) + ".vmsd"
	switch all, err := vmsd.Open(list); {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err // nor could it be added to
	case slices.ContainsFunc(all, func(s vmsd.Snapshot) bool { return s.Name == name }):
		return fmt.Errorf("there is a snapshot %q already (%s): choose another name", name, list)
	}
	names, err := client.SnapshotFiles(ctx)
	if err != nil {
		return err
	}
	draft, err := snapshot.Create(dir, names)
	if err != nil {
		return err
	}
	defer draft.Discard()
	z, err := newFreezing(status)
	if err != nil {
		return err
	}
	defer z.close()
	// What the machine was suspended as, if it was, is of disks that it no longer has.
	if err := errors.Join(os.RemoveAll(suspendedAt(status.File)), z.point()); err != nil {
		return errors.Join(err, z.undo())
	}
	files := map[string]*os.File{}
	for _, some := range []map[string]*os.File{draft.Files, z.files} {
		for name, f := range some {
			files[name] = f
		}
	}
	stop := showSaving(draft.Files[snapshot.MemoryFile], status.Memory)
	err = client.SaveFrozen(ctx, files, z.children)
	stop()
	if err != nil {
		if !z.taken(ctx, client) {
			return errors.Join(err, z.undo())
		}
		return fmt.Errorf("%w; the disks are frozen, and the machine has children of them (vmm disk snapshot-tree %s)", err, status.File)
	}
	saved := vmsd.Snapshot{Name: name, Created: time.Now(), Disks: z.disks}
	if err := vmsd.Edit(list, func(l *vmsd.List) error { _, err := l.Add(saved, filepath.Base(stem(status.File))); return err }); err != nil {
		return err
	}
	return draft.CommitFrozen(z.below, z.frozen)
}
