package vhd_test

import (
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
