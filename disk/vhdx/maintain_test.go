package vhdx_test

import (
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
)

func TestResize(t *testing.T) {
	for name, s := range subjects() {
		s.Parents = name == "small blocks"
		t.Run(name, func(t *testing.T) { disktest.Resize(t, s) })
	}
}

func TestRelink(t *testing.T) {
	for name, block := range map[string]int64{"usual blocks": 0, "small blocks": mib} {
		s := subjects()["dynamic"]
		s.Options = disk.CreateOptions{BlockSize: block}
		t.Run(name, func(t *testing.T) { disktest.Relink(t, s) })
	}
}

func TestArrange(t *testing.T) {
	s := subjects()["small blocks"]
	s.Parents = true
	t.Run("small blocks", func(t *testing.T) { disktest.Arrange(t, s) })
	s.Options.BlockSize = 2 * mib // a sector bitmap does not fill the place of a block
	t.Run("blocks of 2 MiB", func(t *testing.T) { disktest.Arrange(t, s) })
}
