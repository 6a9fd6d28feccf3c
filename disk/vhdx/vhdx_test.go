package vhdx_test

import (
	"path/filepath"
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
	small, fixed, child := s, s, s
	small.Options = disk.CreateOptions{BlockSize: mib}
	fixed.Options = disk.CreateOptions{Variant: "fixed"}
	fixed.Large = 5 << 30
	child.Create = createChild
	child.Large = 5 << 30
	return map[string]disktest.Subject{"dynamic": s, "small blocks": small, "fixed": fixed, "differencing": child}
}

// createChild makes a child of a disk whose first blocks hold zeroes, so that each write has something to copy.
func createChild(path string, o disk.CreateOptions) error {
	base := filepath.Join(filepath.Dir(path), "base.vhdx")
	b := o
	b.BlockSize = mib
	if err := vhdx.Create(base, b); err != nil {
		return err
	}
	i, err := vhdx.Open(base, disk.OpenOptions{Files: o.Files})
	if err != nil {
		return err
	}
	if _, err := i.WriteAt(make([]byte, min(o.Size, 16*mib)), 0); err != nil {
		return err
	}
	if err := i.Close(); err != nil {
		return err
	}
	o.Parent = base
	return vhdx.Create(path, o)
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

