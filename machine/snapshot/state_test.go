package snapshot

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/vmm/kvm"
)

func sample(t testing.TB) (*Meta, []byte) {
	t.Helper()
	m := &Meta{
		Name: "x", Saved: time.Unix(1700000000, 0).UTC(), Shape: []string{"a", "b"}, CPUID: []kvm.CPUIDEntry{{Function: 1, EAX: 7}}, TSC: 2_000_000,
		UUID: config.UUID{1, 2}, MACs: []config.MAC{{2, 0, 0, 0, 0, 1}}, Kept: []string{"scsi0:0"},
	}
	var b bytes.Buffer
	if err := Write(&b, m, []byte("devices")); err != nil {
		t.Fatal(err)
	}
	return m, b.Bytes()
}

func TestState(t *testing.T) {
	m, b := sample(t)
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, devices, err := Read(f)
	if err != nil || string(devices) != "devices" || got.Name != m.Name || !got.Saved.Equal(m.Saved) || got.UUID != m.UUID || got.MACs[0] != m.MACs[0] || got.Kept[0] != m.Kept[0] {
		t.Errorf("%+v %q %v", got, devices, err)
	}
	if err := got.Check(m.Shape, m.CPUID, m.TSC+100); err != nil {
		t.Error(err)
	}
}

// TestDamaged has every byte of a state changed, and every shorter one.
func TestDamaged(t *testing.T) {
	_, b := sample(t)
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 0x10
		if _, _, err := parse(c); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, _, err := parse(b[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	b[8]++
	if _, _, err := parse(b); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	m, _ := sample(t)
	for _, test := range []struct {
		name  string
		shape []string
		cpuid []kvm.CPUIDEntry
		tsc   uint32
		want  []string
	}{
		{"a part gone", []string{"a"}, m.CPUID, m.TSC, []string{"machine with b", "has nothing of it"}},
		{"a part more", []string{"a", "b", "c"}, m.CPUID, m.TSC, []string{"nothing of it", "has c"}},
		{"another processor", m.Shape, []kvm.CPUIDEntry{{Function: 1, EAX: 8}}, m.TSC, []string{"00000007", "00000008"}},
		{"fewer leaves", m.Shape, nil, m.TSC, []string{"00000007", "no more leaves"}},
		{"another clock", m.Shape, m.CPUID, 3_000_000, []string{"2000000 kHz", "3000000 kHz"}},
	} {
		err := m.Check(test.shape, test.cpuid, test.tsc)
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", test.name, err, want)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	_, b := sample(f)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, devices, err := parse(b); err == nil && (m == nil || len(devices) > len(b)) {
			t.Errorf("%v %d", m, len(devices))
		}
	})
}
