package vhd_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhd"
)

func subjects() map[string]disktest.Subject {
	s := disktest.Subject{
		File: "disk.vhd", Create: vhd.Create, Open: disktest.Opener(vhd.Open), Check: vhd.Check, Large: 2040 << 30,
	}
	small, fixed := s, s
	small.Options = disk.CreateOptions{BlockSize: 64 << 10}
	small.Large = 5 << 30
	fixed.Options = disk.CreateOptions{Variant: "fixed"}
	return map[string]disktest.Subject{"dynamic": s, "small blocks": small, "fixed": fixed}
}

func TestConformance(t *testing.T) {
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) { disktest.Run(t, s) })
	}
}

func TestCrash(t *testing.T) {
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) { disktest.Crash(t, s) })
	}
}

func TestQemu(t *testing.T) {
	s := subjects()
	for name, p := range map[string]disktest.Peer{
		"dynamic":      {Format: "vpc", Options: []string{"-o", "subformat=dynamic,force_size=on"}, Exact: true},
		"small blocks": {Format: "vpc", Options: []string{"-o", "subformat=dynamic,force_size=on"}, Exact: true},
		"fixed":        {Format: "vpc", Options: []string{"-o", "subformat=fixed,force_size=on"}, Exact: true},
	} {
		t.Run(name, func(t *testing.T) { disktest.Cross(t, s[name], p) })
	}
}

// TestLibvhdi has another implementation, which honours sector bitmaps, read the header and size that we write.
func TestLibvhdi(t *testing.T) {
	tool := disktest.FindTool(t, "vhdiinfo", "libvhdi-utils")
	for _, variant := range []string{"dynamic", "fixed"} {
		path := filepath.Join(t.TempDir(), "disk.vhd")
		if err := vhd.Create(path, disk.CreateOptions{Size: 5<<20 + 512, Variant: variant}); err != nil {
			t.Fatal(err)
		}
		out := tool.Run(path)
		for _, want := range []string{"(5243392 bytes)", strings.ToUpper(variant[:1]) + variant[1:]} {
			if !strings.Contains(out, want) {
				t.Errorf("vhdiinfo does not say %q:\n%s", want, out)
			}
		}
	}
}

func TestFaults(t *testing.T) {
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) { disktest.Faults(t, s) })
	}
}

func TestChain(t *testing.T) {
	for name, s := range subjects() {
		if name != "fixed" {
			t.Run(name, func(t *testing.T) { disktest.Chain(t, s) })
		}
	}
}

func TestLibvhdiChain(t *testing.T) { disktest.LibvhdiChain(t, subjects()["dynamic"]) }
