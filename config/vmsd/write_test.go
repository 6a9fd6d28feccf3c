package vmsd_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/config/vmsd"
)

// TestEdit makes a list, takes a snapshot off in the midst, and reads it back.
func TestEdit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "win.vmsd")
	when := time.Date(2026, 11, 22, 7, 0, 0, 123456000, time.UTC)
	disks := []vmsd.Disk{{File: "Äpfel.vmdk", Node: "scsi0:0"}, {File: "data.vmdk", Node: "nvme0:1"}}
	for i, name := range []string{"clean", "after |22\nupdate", "last"} {
		err := vmsd.Edit(path, func(l *vmsd.List) error {
			uid, err := l.Add(vmsd.Snapshot{Name: name, Description: "two\nlines", Created: when, Disks: disks}, "win")
			if uid != int64(i+1) {
				t.Errorf("%s has the UID %d", name, uid)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := vmsd.Edit(path, func(l *vmsd.List) error { return l.Remove(2) }); err != nil {
		t.Fatal(err)
	}
	want := []vmsd.Snapshot{
		{UID: 1, Name: "clean", Description: "two\nlines", Created: when, Disks: disks},
		{UID: 3, Parent: 1, Name: "last", Description: "two\nlines", Created: when, Disks: disks, Current: true},
	}
	if got, err := vmsd.Open(path); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	b, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(b), "snapshot.numSnapshots = \"2\"") || strings.Contains(string(b), "update") {
		t.Errorf("%v:\n%s", err, b)
	}
	// The current one goes: the machine follows its parent. A new one takes the free number, and a UID that was never used.
	err = vmsd.Edit(path, func(l *vmsd.List) error {
		if err := l.Remove(3); err != nil {
			return err
		}
		if s := l.Snapshots(); len(s) != 1 || !s[0].Current {
			t.Errorf("%+v", s)
		}
		uid, err := l.Add(vmsd.Snapshot{Name: "new", Created: when}, "win")
		if uid != 4 {
			t.Errorf("a UID was used again: %d", uid)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := vmsd.Edit(path, func(l *vmsd.List) error { return l.Remove(3) }); err == nil {
		t.Error("a snapshot was removed that is not there")
	}
}

// TestEditForeign leaves what another program wrote as it is.
func TestEditForeign(t *testing.T) {
	path := filepath.Join(t.TempDir(), "win.vmsd")
	if err := os.WriteFile(path, []byte(two), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := vmsd.Edit(path, func(l *vmsd.List) error { return l.SetCurrent(3) }); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if want := strings.Replace(two, `snapshot.current = "7"`, `snapshot.current = "3"`, 1); err != nil || string(b) != want {
		t.Errorf("%v:\n%s", err, b)
	}
}
