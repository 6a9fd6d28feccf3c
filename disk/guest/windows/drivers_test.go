package windows_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/guest"
	"github.com/sharevm/vmm/disk/guest/windows"
	"github.com/sharevm/vmm/disk/guest/windows/windowstest"
)

func scan(t *testing.T, b []byte) *guest.Layout {
	t.Helper()
	l, err := guest.Scan(t.Context(), bytes.NewReader(b), int64(len(b)), 512)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestAdopt finds out which drivers a Windows loads at its start, changes that on the disk, and has hivexsh's own reader look at it.
func TestAdopt(t *testing.T) {
	b := windowstest.Windows(t, map[string]map[string]uint32{
		"disk":                   {"Start": 0, "Type": 1},
		"storahci":               {"Start": 0, "ErrorControl": 3},
		"storahci/StartOverride": {"0": 3},
		"LSI_SAS":                {"Start": 3},
	})
	reg, err := windows.Open(t.Context(), bytes.NewReader(b), scan(t, b))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		driver  string
		boots   bool
		missing int
		changes int
	}{{"disk", true, 0, 0}, {"storahci", false, 0, 1}, {"lsi_sas", false, 0, 1}, {"stornvme", false, 1, -1}} {
		boots, missing, err := reg.Boots(test.driver)
		if err != nil || boots != test.boots || len(missing) != test.missing {
			t.Errorf("%s: boots %v, missing %v, error %v", test.driver, boots, missing, err)
		}
		changes, err := reg.Adopt(test.driver)
		if (err != nil) != (test.changes < 0) || len(changes) != max(0, test.changes) {
			t.Errorf("%s: changes %v, error %v", test.driver, changes, err)
		}
	}
	changes, err := reg.Adopt("storahci", "lsi_sas", "disk")
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(b)
	for _, c := range changes {
		copy(b[c.Offset:], c.Data[:])
	}
	changed := 0
	for i := range b {
		if b[i] != before[i] {
			changed++
		}
	}
	if changed != 2 {
		t.Errorf("%d bytes were changed", changed)
	}
	if reg, err = windows.Open(t.Context(), bytes.NewReader(b), scan(t, b)); err != nil {
		t.Fatal(err)
	}
	if boots, missing, err := reg.Boots("storahci", "lsi_sas", "disk"); !boots || missing != nil || err != nil {
		t.Errorf("after the change: boots %v, missing %v, error %v", boots, missing, err)
	}
	image := filepath.Join(t.TempDir(), "changed.raw")
	if err := os.WriteFile(image, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out := disktest.FindTool(t, "ntfscat", "ntfs-3g").Run(image, "Windows/System32/config/SYSTEM")
	hive := filepath.Join(t.TempDir(), "SYSTEM")
	if err := os.WriteFile(hive, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	hivexget := disktest.FindTool(t, "hivexget", "libhivex-bin")
	for key, name := range map[string]string{`\ControlSet002\Services\storahci\StartOverride`: "0", `\ControlSet002\Services\LSI_SAS`: "Start"} {
		if got := strings.TrimSpace(string(hivexget.Run(hive, key, name))); got != "0" {
			t.Errorf("%s %s: hivexget reads %q", key, name, got)
		}
	}
}

func TestNoWindows(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := windowstest.Disk(t, folder)
	if _, err := windows.Open(t.Context(), bytes.NewReader(b), scan(t, b)); !errors.Is(err, windows.ErrNone) {
		t.Errorf("a volume without Windows: %v", err)
	}
}
