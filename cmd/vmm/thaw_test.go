package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/config/vmsd"
	"github.com/sharevm/vmm/config/vmx"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/machine/snapshot"
)

// frozenFolder is a machine's folder with snapshots "first" and then "second" of disk.vmdk, as saveFrozen leaves them. The disk's first bytes were "one" and "two" then,
// and are "now".
func frozenFolder(t *testing.T) (path string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "x.vmx")
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path, []byte(".encoding = \"UTF-8\"\nscsi0:0.fileName = \"disk-000002.vmdk\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, at("disk.vmdk"), "", "one")
	freezeAs(t, path, "first", at("disk.vmdk"))
	put(t, at("disk-000001.vmdk"), at("disk.vmdk"), "two")
	freezeAs(t, path, "second", at("disk-000001.vmdk"))
	put(t, at("disk-000002.vmdk"), at("disk-000001.vmdk"), "now")
	return path
}

// put makes an image whose first bytes are text.
func put(t *testing.T, path, parent, text string) {
	t.Helper()
	o := disk.CreateOptions{Parent: parent}
	if parent == "" {
		o.Size = 1 << 20
	}
	if err := formats.Create(path, o); err != nil {
		t.Fatal(err)
	}
	i, err := formats.Open(path, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.WriteAt([]byte(text), 0); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
}

// freezeAs keeps a snapshot that an image was frozen for.
func freezeAs(t *testing.T, path, name, image string) {
	t.Helper()
	d, err := snapshot.Create(filepath.Join(snapshotsAt(path), name), []string{snapshot.StateFile, snapshot.MemoryFile, snapshot.PagesFile})
	if err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Write(d.Files[snapshot.StateFile], &snapshot.Meta{Name: "x"}, []byte(name)); err != nil {
		t.Fatal(err)
	}
	own, below, err := chainFiles(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.CommitFrozen(append(own, below...), map[string]string{image: "scsi0:0"}); err != nil {
		t.Fatal(err)
	}
	s := vmsd.Snapshot{Name: name, Created: time.Now(), Disks: []vmsd.Disk{{File: filepath.Base(image), Node: "scsi0:0"}}}
	if err := vmsd.Edit(stem(path)+".vmsd", func(l *vmsd.List) error { _, err := l.Add(s, "x"); return err }); err != nil {
		t.Fatal(err)
	}
}

// holds is the image that the machine has now, and its first bytes.
func holds(t *testing.T, path string) (image, text string) {
	t.Helper()
	f, err := vmx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	image, _ = f.Get("scsi0:0.fileName")
	i, err := formats.Open(filepath.Join(filepath.Dir(path), image), disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	p := make([]byte, 3)
	if _, err := i.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	return image, string(p)
}

func snapshotCommand(t *testing.T, args ...string) error {
	t.Helper()
	c := newSnapshot()
	c.SetArgs(args)
	c.SetOut(&bytes.Buffer{})
	c.SilenceUsage, c.SilenceErrors = true, true
	return c.ExecuteContext(t.Context())
}

func images(t *testing.T, path string) (names []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*.vmdk"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		names = append(names, filepath.Base(p))
	}
	return names
}

func current(t *testing.T, path string) (name string, all []string) {
	t.Helper()
	list, err := vmsd.Open(stem(path) + ".vmsd")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		all = append(all, s.Name)
		if s.Current {
			name = s.Name
		}
	}
	return name, all
}

// TestRestoreFrozen takes a machine back to its first snapshot and forth to its second.
func TestRestoreFrozen(t *testing.T) {
	path := frozenFolder(t)
	var out bytes.Buffer
	list := newSnapshotList()
	list.SetArgs([]string{path})
	list.SetOut(&out)
	if err := list.Execute(); err != nil || strings.Count(out.String(), "disks to go back to") != 2 {
		t.Errorf("%v:\n%s", err, out.String())
	}
	for _, want := range []struct{ name, text string }{{"first", "one"}, {"second", "two"}, {"second", "two"}, {"first", "one"}} {
		if err := snapshotCommand(t, "restore", path, want.name); err != nil {
			t.Fatal(err)
		}
		image, text := holds(t, path)
		if text != want.text {
			t.Errorf("%s: the disk holds %q", want.name, text)
		}
		if all := images(t, path); len(all) != 3 || !slices.Contains(all, image) {
			t.Errorf("%s: %v, of which the machine has %s", want.name, all, image)
		}
		if name, _ := current(t, path); name != want.name {
			t.Errorf("%s: the machine follows %q", want.name, name)
		}
		s, err := openFrom(path, "", false, func(err error) { t.Error(err) })
		if err != nil || s == nil {
			t.Fatalf("%s: the machine does not go on: %v", want.name, err)
		}
		s.Close()
		put(t, filepath.Join(t.TempDir(), "other.vmdk"), "", "any") // other disks do not matter
	}
	if err := snapshotCommand(t, "restore", path, "third"); err == nil {
		t.Error("there is no such snapshot")
	}
}

// TestDeleteFrozen deletes the snapshots, in an order that is possible and in one that is not.
func TestDeleteFrozen(t *testing.T) {
	path := frozenFolder(t)
	if err := snapshotCommand(t, "delete", path, "first"); err == nil || !strings.Contains(err.Error(), `"second" follows`) {
		t.Errorf("deleted in the midst: %v", err)
	}
	for _, want := range []struct {
		name, image string
		left        []string
	}{{"second", "disk-000001.vmdk", []string{"first"}}, {"first", "disk.vmdk", nil}} {
		if err := snapshotCommand(t, "delete", path, want.name); err != nil {
			t.Fatal(err)
		}
		if image, text := holds(t, path); image != want.image || text != "now" {
			t.Errorf("%s: %s holds %q", want.name, image, text)
		}
		if _, all := current(t, path); !slices.Equal(all, want.left) {
			t.Errorf("%s: %v are left", want.name, all)
		}
		if isFolder(filepath.Join(snapshotsAt(path), want.name)) {
			t.Errorf("%s is still there", want.name)
		}
	}
	if all := images(t, path); !slices.Equal(all, []string{"disk.vmdk"}) {
		t.Errorf("%v are left", all)
	}
}

// TestDeleteFrozenSuspended deletes a snapshot that a machine has just been taken back to: it still goes on from there.
func TestDeleteFrozenSuspended(t *testing.T) {
	path := frozenFolder(t)
	for _, args := range [][]string{{"restore", path, "second"}, {"delete", path, "second"}} {
		if err := snapshotCommand(t, args...); err != nil {
			t.Fatal(err)
		}
	}
	if _, text := holds(t, path); text != "two" {
		t.Errorf("the disk holds %q", text)
	}
	if err := snapshot.CheckDisks(suspendedAt(path)); err != nil {
		t.Error(err)
	}
}

// TestFrozenInUse leaves a machine alone that runs.
func TestFrozenInUse(t *testing.T) {
	path := frozenFolder(t)
	i, err := formats.Open(filepath.Join(filepath.Dir(path), "disk-000002.vmdk"), disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	for _, what := range []string{"restore", "delete"} {
		if err := snapshotCommand(t, what, path, "second"); err == nil || !strings.Contains(err.Error(), "powered off first") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if all := images(t, path); len(all) != 3 {
		t.Errorf("%v", all)
	}
}

// TestCanFreeze names the disks that cannot be frozen.
func TestCanFreeze(t *testing.T) {
	for _, test := range []struct{ text, file, want string }{
		{`scsi0:0.fileName = "a.vmdk"`, "a.vmdk", ""},
		{`scsi0:0.fileName = "a.vhdx"`, "a.vhdx", "vmm disk convert"},
		{"scsi0:0.fileName = \"a.vmdk\"\nscsi0:0.mode = \"independent-persistent\"", "a.vmdk", "independent"},
		{`scsi0:0.fileName = "b.vmdk"`, "a.vmdk", "is not what"},
	} {
		f, err := vmx.Parse("/vm/x.vmx", []byte(test.text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		err = canFreeze(f, "scsi0:0", "/vm/"+test.file)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v", test.text, err)
		}
	}
}
