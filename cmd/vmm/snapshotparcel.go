package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/sharevm/vmm/internal/size"
	"github.com/sharevm/vmm/machine/snapshot"
	"github.com/sharevm/vmm/machine/snapshot/parcel"
)

func newSnapshotExport() *cobra.Command {
	return &cobra.Command{
		Use:   "export FILE.vmx NAME FILE.vmparcel",
		Short: "Pack a snapshot into one file, to take it to another host",
		Long: `Packs a snapshot into one file, without its zeroes and compressed by Zstandard; - is standard output. Every byte is compared with its checksums before.

The machine's own folder is not in it: take that along as well, by cp, rsync or scp, and open the file beside it with vmm snapshot import. Both hosts need the same vmm and processors
that can do the same: vmm run --from says what differs. What a guest remembers is in the file, passwords too, and it is not encrypted. A snapshot that disks were frozen for stays with them.`,
		Example: `  vmm snapshot export chromeos.vmx ready chromeos.vmparcel
  vmm snapshot export chromeos.vmx ready - | ssh host vmm snapshot import chromeos.vmx ready -`,
		Args:              cobra.ExactArgs(3),
		ValidArgsFunction: completeVMX,
		RunE: plainErrors(interruptible(func(c *cobra.Command, args []string) error {
			dir, err := snapshotAt(args[0], args[1])
			if err != nil {
				return err
			}
			if !isFolder(dir) {
				return fmt.Errorf("there is no snapshot %q of %s", args[1], args[0])
			}
			bars := newBars(c, true)
			defer bars.drop()
			if err := exportSnapshot(c.Context(), args[0], dir, args[2], c.OutOrStdout(), bars); err != nil {
				return fmt.Errorf("export snapshot %s: %w", args[1], err)
			}
			return nil
		})),
	}
}

func newSnapshotImport() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE.vmx NAME FILE.vmparcel",
		Short: "Unpack a snapshot that vmm snapshot export has packed",
		Long: `Unpacks a snapshot beside a machine that was taken along: its disks have to be what they were, byte by byte, which is compared. - is standard input. Nothing is there under the
name before all of it is, and a snapshot of that name is replaced.

A snapshot is a running machine: whoever packed it decides what runs. Unpack only what you would start as a .vmx with its disks.`,
		Example: `  vmm snapshot import chromeos.vmx ready chromeos.vmparcel
  vmm run --from ready chromeos.vmx`,
		Args:              cobra.ExactArgs(3),
		ValidArgsFunction: completeVMX,
		RunE: plainErrors(interruptible(func(c *cobra.Command, args []string) error {
			dir, err := snapshotAt(args[0], args[1])
			if err != nil {
				return err
			}
			if _, err := os.Stat(args[0]); err != nil {
				return err
			}
			bars := newBars(c, true)
			defer bars.drop()
			if err := importSnapshot(c.Context(), args[0], dir, args[2], c.InOrStdin(), bars); err != nil {
				return fmt.Errorf("import snapshot %s: %w", args[1], err)
			}
			return nil
		})),
	}
}

// stdStream stands for standard input or output.
const stdStream = "-"

// exportSnapshot packs the snapshot in dir into a file, which is seen under its name when it is complete.
func exportSnapshot(ctx context.Context, vmx, dir, to string, out io.Writer, bars *bars) error {
	if frozen, err := snapshot.Frozen(dir); err != nil || len(frozen) > 0 {
		return errors.Join(err, frozenFor(frozen))
	}
	if _, err := snapshot.Verify(dir); err != nil {
		return err
	}
	disks, err := disksOf(ctx, vmx, dir)
	if err != nil {
		return err
	}
	if to == stdStream {
		return parcel.Pack(ctx, out, dir, disks, nil)
	}
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("there is a file %s already", to)
	}
	f, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+".new-") // for its user's eyes alone
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails when it has got its name
	err = parcel.Pack(ctx, f, dir, disks, bars.step(filepath.Base(to)))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return unix.Renameat2(unix.AT_FDCWD, f.Name(), unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
}

// frozenFor says that a snapshot belongs to disks; nil where it does not.
func frozenFor(frozen map[string]string) error {
	if len(frozen) == 0 {
		return nil
	}
	return errors.New("disks were frozen for it, and it is of no use without them: take the machine's whole folder along")
}

// disksOf are the disks that the snapshot in dir was saved with, as they are told from others elsewhere.
func disksOf(ctx context.Context, vmx, dir string) (disks []parcel.Disk, err error) {
	if err := snapshot.CheckDisks(dir); err != nil {
		return nil, err
	}
	folder, err := filepath.Abs(filepath.Dir(vmx))
	if err != nil {
		return nil, err
	}
	list, err := snapshot.Disks(dir)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		path, err := filepath.Rel(folder, d.Path)
		if err != nil || !filepath.IsLocal(path) {
			return nil, fmt.Errorf("the disk %s is not in the folder of %s, which is what is taken along", d.Path, filepath.Base(vmx))
		}
		sum, err := sumOf(ctx, d.Path)
		if err != nil {
			return nil, err
		}
		disks = append(disks, parcel.Disk{Path: path, SHA256: sum})
	}
	return disks, snapshot.CheckDisks(dir) // they were not written to meanwhile
}

func sumOf(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, untilDone(ctx, f))
	return hex.EncodeToString(h.Sum(nil)), err
}

// untilDone reads what r does until the context ends: a pipe may have nothing to say for long.
func untilDone(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() { in.CloseWithError(ctx.Err()) })
	return out
}

// importSnapshot unpacks a file into dir.
func importSnapshot(ctx context.Context, vmx, dir, from string, in io.Reader, bars *bars) error {
	if from != stdStream {
		f, err := os.Open(from)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	} else {
		from = "standard input"
	}
	if frozen, err := snapshot.Frozen(dir); err == nil && len(frozen) > 0 {
		return errors.New("there is a snapshot of that name already, which disks are frozen for: delete it first, or choose another name")
	}
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return fmt.Errorf("%s is a terminal: have what vmm snapshot export writes come there", from)
	}
	r := bufio.NewReaderSize(untilDone(ctx, in), 1<<20)
	c, err := parcel.ReadContents(r)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	folder, err := filepath.Abs(filepath.Dir(vmx))
	if err != nil {
		return err
	}
	var disks []string
	for _, d := range c.Disks {
		path := filepath.Join(folder, d.Path)
		sum, err := sumOf(ctx, path)
		if err != nil {
			return fmt.Errorf("a disk that the machine was saved with: %w", err)
		}
		if sum != d.SHA256 {
			return fmt.Errorf("%s is not what it was when the machine was saved: take the machine's folder along as it was then", path)
		}
		disks = append(disks, path)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err == nil && int64(st.Bavail)*st.Bsize < c.Room() {
		return fmt.Errorf("it takes up to %s, and the disk of %s has %s left", size.Format(c.Room()), folder, size.Format(int64(st.Bavail)*st.Bsize))
	}
	draft, err := snapshot.Create(dir, c.Names())
	if err != nil {
		return err
	}
	defer draft.Discard()
	if err := c.Unpack(ctx, r, draft.Files, bars.step(filepath.Base(from))); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	for _, f := range draft.Files {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := draft.Verify(); err != nil {
		return err
	}
	return draft.Commit(disks)
}
