package qcow2_test

import (
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/qcow2"
)

func subjects() map[string]disktest.Subject {
	s := disktest.Subject{
		File: "disk.qcow2", Create: qcow2.Create, Open: disktest.Opener(qcow2.Open), Check: qcow2.Check, Repair: qcow2.Repair, Parents: true, Large: 64 << 40,
	}
	old, small, large := s, s, s
	old.Options = disk.CreateOptions{Variant: "v2"}
	small.Options = disk.CreateOptions{BlockSize: 512}
	small.Large = 5 << 30
	large.Options = disk.CreateOptions{BlockSize: 256 << 10}
	return map[string]disktest.Subject{"v3": s, "v2": old, "small clusters": small, "large clusters": large}
}

// ordinary are the subjects without large clusters, which are slow to copy, and no other code does it.
func ordinary() map[string]disktest.Subject {
	s := subjects()
	delete(s, "large clusters")
	return s
}

func TestConformance(t *testing.T) {
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) { disktest.Run(t, s) })
	}
}

func TestCrash(t *testing.T) {
	for name, s := range ordinary() {
		t.Run(name, func(t *testing.T) { disktest.Crash(t, s) })
	}
}

func TestFaults(t *testing.T) {
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) { disktest.Faults(t, s) })
	}
}

func TestResize(t *testing.T) {
	for name, s := range ordinary() {
		t.Run(name, func(t *testing.T) { disktest.Resize(t, s) })
	}
}

func TestRelink(t *testing.T) {
	for name, s := range ordinary() {
		t.Run(name, func(t *testing.T) { disktest.Relink(t, s) })
	}
}

func TestArrange(t *testing.T) {
	for name, s := range ordinary() {
		if s.Options.BlockSize == 0 {
			s.Options.BlockSize = 16 << 10
		}
		t.Run(name, func(t *testing.T) { disktest.Arrange(t, s) })
	}
}

func TestQemu(t *testing.T) {
	s := subjects()
	for name, options := range map[string]string{
		"v3": "compat=1.1", "v2": "compat=0.10", "small clusters": "cluster_size=512", "large clusters": "cluster_size=2M",
	} {
		t.Run(name, func(t *testing.T) {
			disktest.Cross(t, s[name], disktest.Peer{Format: "qcow2", Options: []string{"-o", options}, Check: true, Exact: true})
		})
	}
}

func TestChain(t *testing.T) {
	for name, s := range ordinary() {
		t.Run(name, func(t *testing.T) { disktest.Chain(t, s) })
	}
}
