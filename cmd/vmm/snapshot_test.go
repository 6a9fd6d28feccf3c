package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/machine/snapshot"
)

// keepSnapshot makes a snapshot of a machine with a disk, and returns what its file state holds.
func keepSnapshot(t *testing.T, dir, disk string) []byte {
	t.Helper()
	d, err := snapshot.Create(dir, []string{snapshot.StateFile, snapshot.MemoryFile, snapshot.PagesFile})
	if err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Write(d.Files[snapshot.StateFile], &snapshot.Meta{Name: "x"}, []byte("devices")); err != nil {
		t.Fatal(err)
	}
	if err := d.Commit([]string{disk}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, snapshot.StateFile))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOpenFrom shows what a user is told of snapshots that cannot be used: by name an error, of a suspended machine a warning.
func TestOpenFrom(t *testing.T) {
	root := t.TempDir()
	vmx, disk := filepath.Join(root, "x.vmx"), filepath.Join(root, "disk.img")
	if err := os.WriteFile(disk, []byte("disk"), 0o600); err != nil {
		t.Fatal(err)
	}
	named, suspended := filepath.Join(snapshotsAt(vmx), "ready"), suspendedAt(vmx)
	good := keepSnapshot(t, named, disk)
	older := bytes.Clone(good)
	older[8] = 0 // the version; the checksum is right
	end := len(older) - 4
	binary.LittleEndian.PutUint32(older[end:], crc32.Checksum(older[:end], crc32.MakeTable(crc32.Castagnoli)))
	changed := bytes.Clone(good)
	changed[len(changed)-6]++
	for _, test := range []struct {
		name  string
		state []byte // nil for the good one
		spoil func(dir string) error
		want  string
	}{
		{"good", good, nil, ""},
		{"damaged", changed, nil, "is damaged: its checksum is wrong"},
		{"cut off", good[:len(good)/2], nil, "is damaged"},
		{"foreign", []byte("QEVM\x00\x00\x00\x03, and whatever else another program writes"), nil, "this is no state of a machine"},
		{"older", older, nil, "of another version of vmm: 0, this one knows 2"},
		{"without memory", good, func(dir string) error { return os.Remove(filepath.Join(dir, snapshot.MemoryFile)) }, "no such file"},
		{"without a word on disks", good, func(dir string) error { return os.Remove(filepath.Join(dir, "disks")) }, "is damaged"},
		{"stale", good, func(string) error { return os.WriteFile(disk, []byte("another disk"), 0o600) }, "the disk has changed since the machine was saved"},
	} {
		for _, dir := range []string{named, suspended} {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			keepSnapshot(t, dir, disk)
			if err := os.WriteFile(filepath.Join(dir, snapshot.StateFile), test.state, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, dir := range []string{named, suspended} {
			if test.spoil != nil {
				if err := test.spoil(dir); err != nil {
					t.Fatal(err)
				}
			}
		}
		s, err := openFrom(vmx, "ready", false, func(error) { t.Errorf("%s: a warning of what was asked for by name", test.name) })
		switch {
		case test.want == "" && err == nil:
			s.Close()
		case err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "starts cold") || strings.Contains(err.Error(), "\n"):
			t.Errorf("%s: %v, want one line with %q and a way out", test.name, err, test.want)
		}
		var warning error
		s, err = openFrom(vmx, "", false, func(err error) { warning = err })
		if err != nil || (s != nil) != (test.want == "") || test.want != "" && (warning == nil || !strings.Contains(warning.Error(), test.want)) {
			t.Errorf("%s, suspended: %v, %v, warning %v", test.name, s, err, warning)
		}
		s.Close()
		if stale := errors.Is(warning, snapshot.ErrStale); stale == isFolder(suspended) {
			t.Errorf("%s: whether the suspended state is kept: %t", test.name, !stale)
		}
		if s, err := openFrom(vmx, "", true, nil); s != nil || err != nil {
			t.Errorf("%s, cold: %v, %v", test.name, s, err)
		}
	}
	keepSnapshot(t, suspended, disk)
	var out bytes.Buffer
	list := newSnapshotList()
	list.SetArgs([]string{vmx})
	list.SetOut(&out)
	if err := list.Execute(); err != nil || !strings.Contains(out.String(), "(suspended)") || !strings.Contains(out.String(), "has changed since") {
		t.Errorf("%v:\n%s", err, out.String())
	}
}
