package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sharevm/vmm/machine/snapshot"
)

func newSnapshotCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE.vmx [NAME]",
		Short: "Read snapshots whole and compare them with their checksums",
		Long: `Reads all of a snapshot, of all of a machine's snapshots, or what it was suspended as, and compares it with the checksums that were taken when it was saved: a start checks the state of processors and devices, but
reads of memory only what the guest needs. The command fails where a byte is not what it was.`,
		Example:           "  vmm snapshot check chromeos.vmx\n  vmm snapshot check chromeos.vmx ready",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeVMX,
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := os.Stat(args[0]); err != nil {
				return err
			}
			if len(args) == 2 {
				dir, err := snapshotAt(args[0], args[1])
				if err != nil {
					return err
				}
				if !isFolder(dir) {
					return fmt.Errorf("there is no snapshot %q of %s", args[1], args[0])
				}
				return checkSnapshot(c.OutOrStdout(), args[1], dir)
			}
			return checkSnapshots(c.OutOrStdout(), args[0])
		},
	}
}

// checkSnapshots checks all that a machine has.
func checkSnapshots(out io.Writer, vmx string) error {
	list, err := os.ReadDir(snapshotsAt(vmx))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	checked := 0
	check := func(name, dir string) {
		checked++
		errs = append(errs, checkSnapshot(out, name, dir))
	}
	if dir := suspendedAt(vmx); isFolder(dir) {
		check("(suspended)", dir)
	}
	for _, e := range list {
		if !strings.HasPrefix(e.Name(), ".") {
			check(e.Name(), filepath.Join(snapshotsAt(vmx), e.Name()))
		}
	}
	if checked == 0 {
		return fmt.Errorf("%s has no snapshots", vmx)
	}
	return errors.Join(errs...)
}

// checkSnapshot checks one and says so where it is whole.
func checkSnapshot(out io.Writer, name, dir string) error {
	began := time.Now()
	n, err := snapshot.Verify(dir)
	if err != nil {
		return fmt.Errorf("snapshot %s: %w", name, err)
	}
	_, err = fmt.Fprintf(out, "%s: whole; %d MiB compared with their checksums in %.1f s\n", name, n>>20, time.Since(began).Seconds())
	return err
}
