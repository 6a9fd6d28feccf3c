package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
		{"one bit", m.Shape, []kvm.CPUIDEntry{{Function: 1, EAX: 7, EDX: 1}}, m.TSC, []string{"00000000;", "00000001"}},
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

// TestHuge is refused by its size, before it is read.
func TestHuge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const size = headSize + maxMeta + maxDevices + sumSize + 1
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, _, err := Read(f); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), fmt.Sprint(size, " bytes")) {
		t.Error(err)
	}
}

// TestShape changes each part of a machine that a guest finds in its devices: a snapshot of the one is none of the other. What no device knows makes no difference.
func TestShape(t *testing.T) {
	whole := func() *config.Machine {
		m := config.New("x")
		bus := config.Bus{Kind: config.BusSCSI}
		m.Controllers = []config.Controller{{Bus: bus, Model: config.ControllerPVSCSI}}
		m.Disks = []config.Disk{{Address: config.Address{Bus: bus}, Media: config.MediaDisk}}
		m.NICs = []config.NIC{{Model: config.NICE1000E}}
		m.Serials = []config.Serial{{Index: 0}}
		m.Run.Clipboard = config.ClipboardOff
		return m
	}
	sizes := []int64{1 << 20}
	was := Shape(whole(), sizes)
	for name, change := range map[string]func(m *config.Machine){
		"memory":            func(m *config.Machine) { m.Memory += 1 << 20 },
		"processors":        func(m *config.Machine) { m.CPU.Count++ },
		"cores":             func(m *config.Machine) { m.CPU.CoresPerSocket++ },
		"board":             func(m *config.Machine) { m.Board = config.BoardFast },
		"firmware":          func(m *config.Machine) { m.Firmware.Kind = config.FirmwareEFI },
		"balloon":           func(m *config.Machine) { m.Run.Balloon = !m.Run.Balloon },
		"agent":             func(m *config.Machine) { m.Run.Agent = !m.Run.Agent },
		"clipboard":         func(m *config.Machine) { m.Run.Clipboard = config.ClipboardIn },
		"disk's address":    func(m *config.Machine) { m.Disks[0].Address.Unit++ },
		"disk's kind":       func(m *config.Machine) { m.Disks[0].Media = config.MediaCDROM },
		"disk's protection": func(m *config.Machine) { m.Disks[0].ReadOnly = true },
		"no disk":           func(m *config.Machine) { m.Disks = nil },
		"controller":        func(m *config.Machine) { m.Controllers[0].Model = config.ControllerLSISAS },
		"its slot":          func(m *config.Machine) { m.Controllers[0].Slot++ },
		"card":              func(m *config.Machine) { m.NICs[0].Model = config.NICVirtio },
		"its slot, too":     func(m *config.Machine) { m.NICs[0].Slot++ },
		"its number":        func(m *config.Machine) { m.NICs[0].Index++ },
		"serial port":       func(m *config.Machine) { m.Serials[0].Index++ },
		"page":              func(m *config.Machine) { m.Run.Kiosk.URL = "https://example.org/" },
		"video memory":      func(m *config.Machine) { m.Display.VRAM += 1 << 20 },
		"tablet":            func(m *config.Machine) { m.Input.Tablet = !m.Input.Tablet },
	} {
		m := whole()
		change(m)
		if is := Shape(m, sizes); slices.Equal(is, was) {
			t.Errorf("%s: a machine with another one is taken for the same", name)
		}
	}
	if is := Shape(whole(), []int64{2 << 20}); slices.Equal(is, was) {
		t.Error("a larger disk is taken for the same")
	}
	m := whole()
	m.Name, m.Folder, m.Limits.CPUShares, m.Run.Restart, m.Disks[0].Path = "y", "/elsewhere", 7, true, "/elsewhere/disk.img"
	if is := Shape(m, sizes); !slices.Equal(is, was) {
		t.Errorf("%q is not %q", is, was)
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
