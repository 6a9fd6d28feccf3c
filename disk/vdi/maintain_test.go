package vdi_test

import (
	"testing"

	"github.com/sharevm/vmm/disk/disktest"
)

func TestResize(t *testing.T) {
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) { disktest.Resize(t, s) })
	}
}

func TestArrange(t *testing.T) {
	for name, s := range subjects() {
		if name != "fixed" {
			t.Run(name, func(t *testing.T) { disktest.Arrange(t, s) })
		}
	}
}
