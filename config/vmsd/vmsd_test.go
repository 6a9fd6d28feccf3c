package vmsd_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/config/vmsd"
)

const two = `.encoding = "UTF-8"
snapshot.lastUID = "7"
snapshot.current = "7"
snapshot0.uid = "3"
snapshot0.filename = "win-Snapshot3.vmsn"
snapshot0.displayName = "clean |22install|22"
snapshot0.description = "before updates|0Asecond line"
snapshot0.createTimeHigh = "388745"
snapshot0.createTimeLow = "1991180826"
snapshot0.numDisks = "2"
snapshot0.disk0.fileName = "win.vmdk"
snapshot0.disk0.node = "scsi0:0"
snapshot0.disk1.fileName = "data.vmdk"
snapshot0.disk1.node = "nvme0:1"
snapshot4.uid = "7"
snapshot4.parent = "3"
snapshot4.displayName = "Äpfel"
snapshot4.createTimeHigh = "388801"
snapshot4.createTimeLow = "-814770620"
snapshot4.numDisks = "1"
snapshot4.disk0.fileName = "win-000001.vmdk"
snapshot.numSnapshots = "2"
`

func TestParse(t *testing.T) {
	want := []vmsd.Snapshot{
		{
			UID: 3, Name: `clean "install"`, Description: "before updates\nsecond line", Created: time.UnixMicro(388745<<32 + 1991180826).UTC(),
			Disks: []vmsd.Disk{{File: "win.vmdk", Node: "scsi0:0"}, {File: "data.vmdk", Node: "nvme0:1"}},
		},
		{
			UID: 7, Parent: 3, Name: "Äpfel", Created: time.UnixMicro(388801<<32 + (1<<32 - 814770620)).UTC(), Current: true,
			Disks: []vmsd.Disk{{File: "win-000001.vmdk"}},
		},
	}
	path := filepath.Join(t.TempDir(), "win.vmsd")
	if err := os.WriteFile(path, []byte(two), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := vmsd.Open(path)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if year := got[0].Created.Year(); year != 2022 {
		t.Errorf("the first is of %d", year)
	}
}

// TestParseOdd has files with less and with other things than there should be.
func TestParseOdd(t *testing.T) {
	for _, c := range []struct {
		text string
		want []vmsd.Snapshot
	}{
		{"", nil},
		{"snapshot.current = \"1\"\n", nil},
		{"garbage\n= =\nsnapshot0.uid = 5\n", []vmsd.Snapshot{{UID: 5}}},
		{"snapshot0.uid = \"x\"\nsnapshot1.uid = \"-4\"\nsnapshot2.uid = \"99999999999999999999\"\n", nil},
		{"snapshot00.uid = \"1\"\nsnapshot-1.uid = \"2\"\nsnapshot.uid = \"3\"\nsnapshot99999999999.uid = \"4\"\n", nil},
		{"snapshot0.uid = \"1\"\nsnapshot1.uid = \"1\"\nsnapshot1.displayName = \"twin\"\n", []vmsd.Snapshot{{UID: 1}}},
		{"SNAPSHOT0.UID = \"2\"\nsnapshot0.DisplayName = \"loud\"\n", []vmsd.Snapshot{{UID: 2, Name: "loud"}}},
		{"snapshot0.uid = \"1\"\nsnapshot0.createTimeHigh = \"-1\"\nsnapshot0.createTimeLow = \"0\"\n", []vmsd.Snapshot{{UID: 1}}},
		{"snapshot0.uid = \"1\"\nsnapshot0.createTimeHigh = \"0\"\n", []vmsd.Snapshot{{UID: 1}}},
		{"snapshot0.uid = \"1\"\nsnapshot0.numDisks = \"1\"\nsnapshot0.disk1.fileName = \"b.vmdk\"\n", []vmsd.Snapshot{{UID: 1}}},
		{"snapshot0.uid = \"1\"\nsnapshot0.numDisks = \"999999999\"\nsnapshot0.disk1.fileName = \"b.vmdk\"\n",
			[]vmsd.Snapshot{{UID: 1, Disks: []vmsd.Disk{{File: "b.vmdk"}}}}},
	} {
		got, err := vmsd.Parse("x.vmsd", []byte(c.text))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
	for _, bad := range []string{"a\x00b", ".encoding = \"klingon\"\n"} {
		if got, err := vmsd.Parse("x.vmsd", []byte(bad)); err == nil {
			t.Errorf("%q: %+v, want an error", bad, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(two))
	f.Add([]byte("snapshot0.uid = \"1\"\nsnapshot0.parent = \"1\"\nsnapshot0.createTimeHigh = \"2147483647\"\nsnapshot0.createTimeLow = \"-1\"\n"))
	f.Add([]byte("\xef\xbb\xbfsnapshot1.uid=2\r\nsnapshot1.disk0.filename=/etc/passwd\r\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		list, err := vmsd.Parse("x.vmsd", p)
		if err != nil {
			return
		}
		seen := map[int64]bool{}
		for _, s := range list {
			if s.UID <= 0 || seen[s.UID] || s.Parent < 0 {
				t.Errorf("%+v", s)
			}
			seen[s.UID] = true
			if !s.Created.IsZero() && s.Created.Year() < 1970 {
				t.Errorf("created in %d", s.Created.Year())
			}
			for _, d := range s.Disks {
				if d.File == "" {
					t.Error("a disk without a name")
				}
			}
		}
	})
}

// TestEditLink has a list that is a link to another file of this user's, as a stranger's folder may: that stays as it is.
func TestEditLink(t *testing.T) {
	const precious = "a = \"b\"\n"
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "precious")
	list := filepath.Join(dir, "m.vmsd")
	for _, exists := range []bool{true, false} {
		if exists {
			if err := os.WriteFile(outside, []byte(precious), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(outside, list); err != nil {
			t.Fatal(err)
		}
		err := vmsd.Edit(list, func(l *vmsd.List) error {
			_, err := l.Add(vmsd.Snapshot{Name: "s", Created: time.Now()}, "m")
			return err
		})
		if err == nil || !strings.Contains(err.Error(), list) {
			t.Errorf("error %v", err)
		}
		if _, err := vmsd.Open(list); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("opened: %v", err)
		}
		if b, err := os.ReadFile(outside); (err == nil) != exists || exists && string(b) != precious {
			t.Errorf("the file that the link leads to: %q, %v", b, err)
		}
		if exists {
			if err := errors.Join(os.Remove(list), os.Remove(outside)); err != nil {
				t.Fatal(err)
			}
		}
	}
}
