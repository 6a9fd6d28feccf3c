package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/machine"
	"github.com/sharevm/vmm/machine/control"
	"github.com/sharevm/vmm/machine/snapshot"
)

// Where snapshots lie: beside the .vmx, in folders called after it.
func suspendedAt(vmx string) string { return stem(vmx) + ".vmsuspend" }
func snapshotsAt(vmx string) string { return stem(vmx) + ".vmsnap" }

func stem(vmx string) string { return strings.TrimSuffix(vmx, filepath.Ext(vmx)) }

// snapshotAt is the folder of a snapshot by its name, which a path is not.
func snapshotAt(vmx, name string) (string, error) {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return "", &exitError{exitUsage, fmt.Errorf("%q is not the name of a snapshot", name)}
	}
	return filepath.Join(snapshotsAt(vmx), name), nil
}

func newSnapshot() *cobra.Command {
	c := &cobra.Command{
		Use:   "snapshot",
		Short: "Save machines as they run, to start from there in a blink",
		Long: `A snapshot holds a running machine: memory, processors, devices, and what it wrote to disks whose writes are thrown away. A machine that starts from it
(vmm run --from) goes on within a moment, and any number can start from the same one; each keeps to itself what it changes.

Where a machine writes to VMDKs for good they are frozen for the snapshot as VMware does it: each gets a child (disk-000001.vmdk) that the machine goes on with, the .vmx names the
children and the .vmsd lists the snapshot, so that the folder opens in VMware with its disks' snapshots (which cannot resume the running machine in it). vmm snapshot restore takes such a machine back, and
vmm snapshot delete merges what it has written since.`,
	}
	c.AddCommand(newSnapshotSave(), newSnapshotList(), newSnapshotCheck(), newSnapshotRestore(), newSnapshotDelete(), newSnapshotExport(), newSnapshotImport())
	return c
}

func newSnapshotSave() *cobra.Command {
	return &cobra.Command{
		Use:   "save MACHINE NAME",
		Short: "Save a running machine under a name",
		Long: `Saves a running machine beside its .vmx. The guest stands still meanwhile, and goes on afterwards. A snapshot of that name is replaced, unless disks were
frozen for it.`,
		Example:           "  vmm snapshot save chromeos ready\n  vmm run --from ready chromeos.vmx",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeMachine,
		RunE: func(c *cobra.Command, args []string) error {
			client, status, err := machineWithFile(c.Context(), args[0])
			if err != nil {
				return err
			}
			dir, err := snapshotAt(status.File, args[1])
			if err != nil {
				return err
			}
			if slices.ContainsFunc(status.Disks, writesForGood) {
				return saveFrozen(c.Context(), client, dir, args[1], status)
			}
			if frozen, err := snapshot.Frozen(dir); err == nil && len(frozen) > 0 {
				return fmt.Errorf("there is a snapshot %q already, which disks are frozen for: delete it first, or choose another name", args[1])
			}
			return save(c.Context(), client, dir, status, false, nil)
		},
	}
}

// machineWithFile finds a running machine and asks it which file describes it.
func machineWithFile(ctx context.Context, id string) (control.Client, control.Status, error) {
	root, err := control.Root()
	if err != nil {
		return control.Client{}, control.Status{}, err
	}
	client, err := control.Find(root, id)
	if err != nil {
		return client, control.Status{}, err
	}
	status, err := client.Status(ctx)
	if err == nil && status.File == "" {
		err = fmt.Errorf("machine %s was not started from a .vmx", id)
	}
	return client, status, err
}

// save has a machine save itself to the folder dir, and end if it shall. between is done when everything is saved, and before the snapshot takes its place.
func save(ctx context.Context, client control.Client, dir string, status control.Status, off bool, between func() error) error {
	names, err := client.SnapshotFiles(ctx)
	if err != nil {
		return err
	}
	draft, err := snapshot.Create(dir, names)
	if err != nil {
		return err
	}
	defer draft.Discard()
	stop := showSaving(draft.Files[snapshot.MemoryFile], status.Memory)
	err = client.SaveSnapshot(ctx, draft.Files, off)
	stop()
	if err != nil {
		return err
	}
	if between != nil {
		if err := between(); err != nil {
			return err
		}
	}
	files, err := diskFiles(status)
	if err != nil {
		return err
	}
	return draft.Commit(files)
}

// diskFiles are the files of the disks of a machine, those of parents included.
func diskFiles(s control.Status) ([]string, error) {
	var files []string
	for _, d := range s.Disks {
		if d.File == "" {
			continue
		}
		i, err := formats.Open(d.File, disk.OpenOptions{ReadOnly: true, AllowOutside: true})
		if err != nil {
			return nil, fmt.Errorf("disk %s: %w", d.Address, err)
		}
		for _, f := range i.Info().Files {
			abs, err := filepath.Abs(f)
			if err != nil {
				return nil, errors.Join(err, i.Close())
			}
			files = append(files, abs)
		}
		if err := i.Close(); err != nil {
			return nil, fmt.Errorf("disk %s: %w", d.Address, err)
		}
	}
	return files, nil
}

func newSnapshotList() *cobra.Command {
	return &cobra.Command{
		Use:               "list FILE.vmx",
		Short:             "List a machine's snapshots, and whether it is suspended",
		Example:           "  vmm snapshot list windows.vmx",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeVMX,
		RunE: func(c *cobra.Command, args []string) error {
			list, err := os.ReadDir(snapshotsAt(args[0]))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tSAVED\tSTATE")
			if dir := suspendedAt(args[0]); isFolder(dir) {
				saved, state := describeSnapshot(dir)
				fmt.Fprintf(w, "(suspended)\t%s\t%s\n", saved, state)
			}
			for _, e := range list {
				if strings.HasPrefix(e.Name(), ".") {
					continue
				}
				saved, state := describeSnapshot(filepath.Join(snapshotsAt(args[0]), e.Name()))
				fmt.Fprintf(w, "%s\t%s\t%s\n", e.Name(), saved, state)
			}
			return w.Flush()
		},
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// describeSnapshot says when a snapshot was saved, and whether a machine can start from it.
func describeSnapshot(dir string) (saved, state string) {
	s, err := machine.OpenSnapshot(dir)
	if err != nil {
		return "-", err.Error()
	}
	defer s.Close()
	saved = s.Saved().Local().Format(time.DateTime)
	if err := snapshot.CheckDisks(dir); err != nil {
		return saved, err.Error()
	}
	if frozen, err := snapshot.Frozen(dir); err == nil && len(frozen) > 0 {
		return saved, "ready, with disks to go back to"
	}
	return saved, "ready"
}

func newSnapshotDelete() *cobra.Command {
	return &cobra.Command{
		Use:   "delete FILE.vmx NAME",
		Short: "Delete a snapshot",
		Long: `Deletes a snapshot. Where disks were frozen for it and only the machine itself is based on them, what it has written since is merged into them; it has to be
powered off for that. Disks that other images are based on stay as they are.`,
		Example:           "  vmm snapshot delete windows.vmx before-update",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeVMX,
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := snapshotAt(args[0], args[1])
			if err != nil {
				return err
			}
			if _, err := os.Stat(filepath.Join(dir, snapshot.StateFile)); err != nil {
				return fmt.Errorf("there is no snapshot %q of %s", args[1], args[0])
			}
			if frozen, err := snapshot.Frozen(dir); err == nil && len(frozen) > 0 {
				return deleteFrozen(c.Context(), args[0], args[1], dir)
			}
			return os.RemoveAll(dir)
		},
	}
}

// openFrom opens what a machine shall go on from: the snapshot of that name, or without one the suspended machine if there is one. What cannot be used is an error for a name; of
// a suspended machine it is a warning, and the machine starts cold.
func openFrom(vmx, name string, cold bool, warn func(error)) (*machine.Snapshot, error) {
	dir := suspendedAt(vmx)
	if name != "" {
		var err error
		if dir, err = snapshotAt(vmx, name); err != nil {
			return nil, err
		}
	} else if _, err := os.Stat(dir); err != nil || cold {
		return nil, nil
	}
	s, err := machine.OpenSnapshot(dir)
	if err == nil {
		if err = snapshot.CheckDisks(dir); err == nil {
			return s, nil
		}
		s.Close()
	}
	if name != "" {
		return nil, fmt.Errorf("snapshot %s: %w (vmm snapshot list %s shows which can be used; without --from the machine starts cold)", name, err, vmx)
	}
	warn(err)
	if errors.Is(err, snapshot.ErrStale) {
		return nil, os.RemoveAll(dir) // it never fits again
	}
	return nil, nil
}
