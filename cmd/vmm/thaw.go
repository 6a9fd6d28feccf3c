package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/config/vmsd"
	"github.com/sharevm/vmm/config/vmx"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/tools"
	"github.com/sharevm/vmm/machine/snapshot"
)

func newSnapshotRestore() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE.vmx NAME",
		Short: "Take a machine back to a snapshot, its disks included",
		Long: `Takes a machine that is powered off back to a snapshot that its disks were frozen for: the next vmm run goes on from there, as from vmm suspend. What was written
since to its disks is lost, unless another snapshot was taken of it.

A snapshot of a machine that throws away what it writes has no disks to go back to: vmm run --from starts from it at any time.`,
		Example:           "  vmm snapshot restore windows.vmx before-update\n  vmm run windows.vmx",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeVMX,
		RunE: func(c *cobra.Command, args []string) error {
			return restoreFrozen(c.Context(), args[0], args[1])
		},
	}
}

// frozenMachine is a machine that is powered off, and one of its snapshots that its disks were frozen for.
type frozenMachine struct {
	path   string // of the .vmx, absolute
	file   *vmx.File
	dir    string            // of the snapshot
	frozen map[string]string // paths of the images that were frozen, by addresses
	now    map[string]string // of those that the machine has now
	saved  vmsd.Snapshot
	held   tools.Held
}

// openFrozen finds a snapshot, and keeps the machine from running until close.
func openFrozen(path, name, dir string) (_ *frozenMachine, err error) {
	m := &frozenMachine{dir: dir, now: map[string]string{}}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if m.file, err = vmx.Open(m.path); err != nil {
		return nil, err
	}
	if m.frozen, err = snapshot.Frozen(dir); err != nil {
		return nil, err
	}
	all, err := vmsd.Open(m.list())
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(s vmsd.Snapshot) bool { return s.Name == name })
	if at < 0 {
		return nil, fmt.Errorf("%s does not list the snapshot %q", m.list(), name)
	}
	m.saved = all[at]
	for address := range m.frozen {
		if m.now[address] = diskAt(m.file, address); m.now[address] == "" {
			return nil, fmt.Errorf("%s has no disk %s any more", path, address)
		}
		if err := m.hold(m.now[address]); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// hold keeps machines from an image until close.
func (m *frozenMachine) hold(path string) error {
	err := m.held.Lock(path)
	if errors.Is(err, disk.ErrLocked) {
		return fmt.Errorf("%w: the machine has to be powered off first (vmm stop, or vmm suspend)", err)
	}
	return err
}

func (m *frozenMachine) list() string { return stem(m.path) + ".vmsd" }

// close lets the machine run again.
func (m *frozenMachine) close() { m.held.Close() }

// point has the .vmx name other images.
func (m *frozenMachine) point(images map[string]string) error {
	for address, path := range images {
		if err := m.file.Set(address+".fileName", inFolder(m.path, path)); err != nil {
			return err
		}
	}
	return m.file.Save(m.path)
}

// tree finds how the images of the machine's folder are based on each other, by their paths.
func (m *frozenMachine) tree(ctx context.Context) (map[string]*tools.Node, error) {
	roots, err := tools.Tree(ctx, tools.TreeOptions{Folder: filepath.Dir(m.path)})
	if err != nil {
		return nil, err
	}
	all := map[string]*tools.Node{}
	var walk func([]*tools.Node)
	walk = func(nodes []*tools.Node) {
		for _, n := range nodes {
			all[whole(n.Path)] = n
			walk(n.Children)
		}
	}
	walk(roots)
	return all, nil
}

// kept says whether a snapshot of the list, other than that of uid, has an image.
func (m *frozenMachine) kept(path string, uid int64) (*vmsd.Snapshot, error) {
	all, err := vmsd.Open(m.list())
	if err != nil {
		return nil, err
	}
	for i, s := range all {
		for _, d := range s.Disks {
			at := d.File
			if !filepath.IsAbs(at) {
				at = filepath.Join(filepath.Dir(m.path), at)
			}
			if s.UID != uid && at == path {
				return &all[i], nil
			}
		}
	}
	return nil, nil
}

// chains are the files of images and of all that they are based on.
func chains(images map[string]string) (files []string, err error) {
	for _, path := range images {
		own, below, err := chainFiles(path)
		if err != nil {
			return nil, err
		}
		files = append(append(files, own...), below...)
	}
	return files, nil
}

// restoreFrozen has a machine go on from a snapshot the next time, with new children of the images that were frozen for it.
func restoreFrozen(ctx context.Context, path, name string) error {
	dir, err := snapshotAt(path, name)
	if err != nil {
		return err
	}
	s, err := openFrom(path, name, false, nil) // all that can be wrong with it
	if err != nil {
		return err
	}
	s.Close()
	frozen, err := snapshot.Frozen(dir)
	if err != nil {
		return err
	}
	if len(frozen) == 0 {
		return fmt.Errorf("snapshot %s is of a machine that throws away what it writes: vmm run --from %s %s starts from it", name, name, path)
	}
	m, err := openFrozen(path, name, dir)
	if err != nil {
		return err
	}
	defer m.close()
	children := map[string]string{} // kept, too, until what the machine goes on from is beside them
	undo := func(err error) error {
		for _, child := range children {
			err = errors.Join(err, os.Remove(child))
		}
		return err
	}
	for address, image := range m.frozen {
		child, err := tools.OverlayName(image, "", "vmdk", nil)
		if err != nil {
			return undo(err)
		}
		o := tools.OverlayOptions{New: disk.CreateOptions{Format: "vmdk"}}
		if _, err := tools.Overlay(ctx, image, child, o); err != nil {
			return undo(err)
		}
		children[address] = child
		if err := m.hold(child); err != nil {
			return undo(err)
		}
	}
	nodes, err := m.tree(ctx)
	if err != nil {
		return undo(err)
	}
	// From here on the machine's present state goes: first what it was suspended as, which must never meet the other disks.
	if err := os.RemoveAll(suspendedAt(m.path)); err != nil {
		return undo(err)
	}
	if err := m.point(children); err != nil {
		return undo(err)
	}
	files, err := chains(children)
	if err != nil {
		return err
	}
	if err := snapshot.Share(m.dir, suspendedAt(m.path), files); err != nil {
		return err
	}
	if err := vmsd.Edit(m.list(), func(l *vmsd.List) error { return l.SetCurrent(m.saved.UID) }); err != nil {
		return err
	}
	return m.removeUnused(nodes, m.now)
}

// removeUnused removes images that nothing is based on and that no snapshot has.
func (m *frozenMachine) removeUnused(nodes map[string]*tools.Node, images map[string]string) error {
	for _, path := range images {
		n := nodes[path]
		other, err := m.kept(path, 0)
		if err != nil {
			return err
		}
		if n == nil || len(n.Children) > 0 || other != nil || n.Parent == "" {
			continue
		}
		own, _, err := chainFiles(path)
		if err != nil {
			return err
		}
		for _, file := range own {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// deleteFrozen deletes a snapshot that disks were frozen for. Where only the machine itself is based on such an image, what it has written since goes into it.
func deleteFrozen(ctx context.Context, path, name, dir string) error {
	m, err := openFrozen(path, name, dir)
	if err != nil {
		return err
	}
	defer m.close()
	nodes, err := m.tree(ctx)
	if err != nil {
		return err
	}
	merge := map[string]string{} // images to go back to, by addresses
	for address, image := range m.frozen {
		n := nodes[image]
		switch {
		case n == nil:
			return fmt.Errorf("%s, which was frozen for the snapshot, is not in the folder", image)
		case len(n.Children) != 1: // others are based on it, or nothing
			continue
		}
		child := whole(n.Children[0].Path)
		if child == m.now[address] {
			merge[address] = image
			continue
		}
		if other, err := m.kept(child, m.saved.UID); err != nil {
			return err
		} else if other != nil {
			return fmt.Errorf("the snapshot %q follows directly on %q: delete that one first", other.Name, name)
		}
	}
	for _, image := range merge {
		if err := m.hold(image); err != nil {
			return err
		}
	}
	suspended := suspendedAt(m.path)
	goesOn := isFolder(suspended) && snapshot.CheckDisks(suspended) == nil
	// A crash leaves a chain that is longer than need be, which reads the same.
	if err := errors.Join(os.RemoveAll(m.dir), vmsd.Edit(m.list(), func(l *vmsd.List) error { return l.Remove(m.saved.UID) })); err != nil {
		return err
	}
	for address, image := range merge {
		o := tools.CommitOptions{Open: disk.OpenOptions{Files: &m.held}, Delete: true, Moved: func() error { return m.point(map[string]string{address: image}) }}
		if _, err := tools.Commit(ctx, m.now[address], o); err != nil {
			return fmt.Errorf("the snapshot is deleted, and its disk remains (vmm disk commit %s merges it): %w", m.now[address], err)
		}
		m.now[address] = image
	}
	if len(merge) == 0 || !goesOn {
		return nil
	}
	files, err := chains(m.now)
	if err != nil {
		return err
	}
	return snapshot.Rewrite(suspended, files)
}

// useFrozen has a machine that goes on from a snapshot work with the disks as they were frozen for it.
func useFrozen(cfg *config.Machine, dir string) error {
	frozen, err := snapshot.Frozen(dir)
	if err != nil {
		return err
	}
	for i := range cfg.Disks {
		d := &cfg.Disks[i]
		if path, ok := frozen[d.Address.String()]; ok {
			d.Path, d.Format = path, config.FormatVMDK
		}
	}
	return nil
}
