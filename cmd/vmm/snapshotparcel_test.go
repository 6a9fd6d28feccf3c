package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/sharevm/vmm/machine/snapshot"
)

// TestSnapshotParcel takes a snapshot to another folder with the machine's disk, by a file and by a pipe. What is no snapshot, or not of that disk, is refused, and leaves nothing.
func TestSnapshotParcel(t *testing.T) {
	here, there := t.TempDir(), t.TempDir()
	write := func(path, text string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	vmx, disk := write(filepath.Join(here, "x.vmx"), ""), write(filepath.Join(here, "disk.img"), "disk")
	other, copied := write(filepath.Join(there, "y.vmx"), ""), write(filepath.Join(there, "disk.img"), "disk")
	memory := keepSummed(t, filepath.Join(snapshotsAt(vmx), "good"), disk)
	var pipe bytes.Buffer
	run := func(c *cobra.Command, args ...string) error {
		c.SilenceErrors, c.SilenceUsage = true, true
		c.SetArgs(args)
		c.SetIn(&pipe)
		c.SetOut(&pipe)
		c.SetErr(new(bytes.Buffer))
		return c.ExecuteContext(t.Context())
	}
	fails := func(want string, c *cobra.Command, args ...string) {
		t.Helper()
		if err := run(c, args...); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
	parcel := filepath.Join(here, "x.vmparcel")
	if err := run(newSnapshotExport(), vmx, "good", parcel); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(parcel); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v: it holds what a guest remembers", info.Mode(), err)
	}
	fails("already", newSnapshotExport(), vmx, "good", parcel)
	fails(`no snapshot "none"`, newSnapshotExport(), vmx, "none", parcel+"2")
	if err := run(newSnapshotImport(), other, "taken", parcel); err != nil {
		t.Fatal(err)
	}
	if err := run(newSnapshotExport(), vmx, "good", "-"); err != nil {
		t.Fatal(err)
	}
	if err := run(newSnapshotImport(), other, "piped", "-"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"taken", "piped"} {
		dir := filepath.Join(snapshotsAt(other), name)
		_, err := snapshot.Verify(dir)
		if err := errors.Join(err, snapshot.CheckDisks(dir)); err != nil {
			t.Error(err)
		}
		if list, err := snapshot.Disks(dir); err != nil || len(list) != 1 || list[0].Path != copied {
			t.Errorf("%v, %v", list, err)
		}
	}

	b, err := os.ReadFile(parcel)
	if err != nil {
		t.Fatal(err)
	}
	fails("ends too early", newSnapshotImport(), other, "cut", write(filepath.Join(here, "cut"), string(b[:len(b)-1])))
	fails("no parcel", newSnapshotImport(), other, "foreign", write(filepath.Join(here, "foreign"), strings.Repeat("x", 99)))
	fails("no such file", newSnapshotImport(), other+"x", "x", parcel)
	write(copied, "risk")
	fails("is not what it was when the machine was saved", newSnapshotImport(), other, "changed", parcel)
	if err := os.Remove(copied); err != nil {
		t.Fatal(err)
	}
	fails("no such file", newSnapshotImport(), other, "gone", parcel)
	write(memory, "memorY")
	fails("is damaged", newSnapshotExport(), vmx, "good", parcel+"2")
	write(disk, "kids")
	write(memory, "memory")
	fails("has changed", newSnapshotExport(), vmx, "good", parcel+"2")
	if err := snapshot.Rewrite(filepath.Join(snapshotsAt(vmx), "good"), []string{copied}); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := snapshot.Rewrite(filepath.Join(snapshotsAt(vmx), "good"), []string{other}); err != nil {
		t.Fatal(err)
	}
	fails("not in the folder", newSnapshotExport(), vmx, "good", parcel+"2")

	// Who types Ctrl-C ends it, even where nothing comes any more.
	ctx, cancel := context.WithCancel(t.Context())
	silent, _ := io.Pipe()
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := importSnapshot(ctx, other, filepath.Join(snapshotsAt(other), "never"), "-", silent, &bars{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}

	for dir, want := range map[string]string{here: "cut disk.img foreign x.vmparcel x.vmsnap x.vmx", there: "y.vmsnap y.vmx"} {
		var names []string
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("left are %s, want %s", got, want)
		}
	}
	if left, _ := os.ReadDir(snapshotsAt(other)); len(left) != 2 {
		t.Errorf("left are %v", left)
	}
}
