package vdi_test

import (
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vdi"
)

func subjects() map[string]disktest.Subject {
	s := disktest.Subject{File: "disk.vdi", Create: vdi.Create, Open: disktest.Opener(vdi.Open), Check: vdi.Check, Large: 16 << 40}
	small, fixed := s, s
	small.Options = disk.CreateOptions{BlockSize: 64 << 10}
	small.Large = 1 << 40
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

func TestFaults(t *testing.T) {
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) { disktest.Faults(t, s) })
	}
}

func TestQemu(t *testing.T) {
	s := subjects()
	cross := func(name, options string) {
		t.Run(name, func(t *testing.T) {
			disktest.Cross(t, s[name], disktest.Peer{Format: "vdi", Options: []string{"-o", options}, Check: true, Exact: true})
		})
	}
	cross("dynamic", "static=off")
	cross("fixed", "static=on")
}
