package registry_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk/guest/registry"
	"github.com/sharevm/vmm/disk/guest/windows/windowstest"
)

// systemHive is a hive that hivexsh wrote.
func systemHive(t testing.TB) []byte {
	path := filepath.Join(t.TempDir(), "SYSTEM")
	windowstest.SystemHive(t, path, map[string]map[string]uint32{"storahci": {"Start": 0, "Type": 1}, "storahci/StartOverride": {"0": 3}})
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHive(t *testing.T) {
	b := systemHive(t)
	h, err := registry.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	k, err := h.Key("controlset002", "SERVICES", "StorAHCI")
	if err != nil {
		t.Fatal(err)
	}
	if n, ok, err := k.Number("TYPE"); !ok || err != nil || n.Value != 1 || b[n.Offset] != 1 {
		t.Errorf("%+v, %v, %v", n, ok, err)
	}
	if _, ok, err := k.Number("none"); ok || err != nil {
		t.Errorf("a value that is not there: %v, %v", ok, err)
	}
	for _, path := range [][]string{{"none"}, {"Select", "none"}, {"ControlSet002", "Services", "other99"}} {
		if _, err := h.Key(path...); !errors.Is(err, registry.ErrNoKey) {
			t.Errorf("%v: %v", path, err)
		}
	}
	b[4]++
	if _, err := registry.Open(b); !errors.Is(err, registry.ErrUnfinished) {
		t.Errorf("an unfinished hive: %v", err)
	}
	if _, err := registry.Open(b[:100]); !errors.Is(err, registry.ErrDamaged) {
		t.Errorf("a short hive: %v", err)
	}
}

// FuzzHive reads hives of any contents: what is found lies within them.
func FuzzHive(f *testing.F) {
	f.Add(windowstest.EmptyHive())
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := registry.Open(b)
		if err != nil {
			return
		}
		for _, path := range [][]string{nil, {"Select"}, {"ControlSet002", "Services", "storahci", "StartOverride"}} {
			k, err := h.Key(path...)
			if err != nil {
				continue
			}
			all, err := k.Numbers()
			for _, n := range all {
				if n.Offset < 4096 || n.Offset+4 > int64(len(b)) {
					t.Errorf("%q at %d of %d bytes, error %v", n.Name, n.Offset, len(b), err)
				}
			}
		}
	})
}
