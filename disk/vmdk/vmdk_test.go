package vmdk_test

import (
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vmdk"
)

func subjects() map[string]disktest.Subject {
	s := disktest.Subject{
		File: "disk.vmdk", Create: vmdk.Create, Open: disktest.Opener(vmdk.Open), Check: vmdk.Check, Large: 62 << 40,
	}
	out := map[string]disktest.Subject{"monolithicSparse": s}
	for _, variant := range []string{"monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"} {
		v := s
		v.Options = disk.CreateOptions{Variant: variant}
		v.Large = 40 << 30
		out[variant] = v
	}
	small := s
	small.Options = disk.CreateOptions{BlockSize: 4 << 10}
	small.Large = 1 << 40
	out["small grains"] = small
	return out
}

func TestConformance(t *testing.T) {
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) { disktest.Run(t, s) })
	}
}
