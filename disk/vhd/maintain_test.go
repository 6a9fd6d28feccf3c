package vhd_test

import (
	"testing"

	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhd"
)

// maintained returns the subjects for the suites of what changes an image's file.
func maintained() map[string]disktest.Subject {
	all := subjects()
	for name, s := range all {
		s.Repair = vhd.Repair
		s.Parents = name != "fixed"
		all[name] = s
	}
	return all
}

func TestResize(t *testing.T) {
	for name, s := range maintained() {
		t.Run(name, func(t *testing.T) { disktest.Resize(t, s) })
	}
}

func TestRelink(t *testing.T) {
	for name, s := range maintained() {
		if s.Parents {
			t.Run(name, func(t *testing.T) { disktest.Relink(t, s) })
		}
	}
}

func TestArrange(t *testing.T) {
	for name, s := range maintained() {
		if s.Parents {
			t.Run(name, func(t *testing.T) { disktest.Arrange(t, s) })
		}
	}
}
