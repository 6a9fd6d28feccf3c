package vhdx_test

import (
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhdx"
)

const mib = 1 << 20

func subjects() map[string]disktest.Subject {
	s := disktest.Subject{
		File: "disk.vhdx", Create: vhdx.Create, Open: disktest.Opener(vhdx.Open), Check: vhdx.Check, Large: 64 << 40,
	}
	small, fixed := s, s
	small.Options = disk.CreateOptions{BlockSize: mib}
	small.Large = 5 << 30
	fixed.Options = disk.CreateOptions{Variant: "fixed"}
	fixed.Large = 5 << 30
	return map[string]disktest.Subject{"dynamic": s, "small blocks": small, "fixed": fixed}
}

func TestConformance(t *testing.T) {
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) { disktest.Run(t, s) })
	}
}

// TestChain is for children in blocks of both kinds: those whose part of a sector bitmap is less than a page, and more.
func TestChain(t *testing.T) {
	for name, block := range map[string]int64{"differencing": 0, "large blocks": 32 * mib} {
		s := subjects()["small blocks"]
		s.Create = func(path string, o disk.CreateOptions) error {
			if o.Parent != "" {
				o.BlockSize = block
			}
			return vhdx.Create(path, o)
		}
		t.Run(name, func(t *testing.T) { disktest.Chain(t, s) })
	}
}

func TestCrash(t *testing.T) {
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) { disktest.Crash(t, s) })
	}
}

func TestFaults(t *testing.T) {
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) { disktest.Faults(t, s) })
	}
}

func TestQemu(t *testing.T) {
	s := subjects()
	for name, p := range map[string]disktest.Peer{
		"dynamic":      {Format: "vhdx", Check: true, Exact: true},
		"small blocks": {Format: "vhdx", Options: []string{"-o", "block_size=1M"}, Check: true, Exact: true},
		"fixed":        {Format: "vhdx", Options: []string{"-o", "subformat=fixed"}, Check: true, Exact: true},
	} {
		t.Run(name, func(t *testing.T) { disktest.Cross(t, s[name], p) })
	}
}

func TestLibvhdiChain(t *testing.T) { disktest.LibvhdiChain(t, subjects()["small blocks"]) }
