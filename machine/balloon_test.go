package machine

import (
	"testing"

	"github.com/sharevm/vmm/virtio/balloon"
)

func TestReclaimOutlivesPowerCycles(t *testing.T) {
	var m Machine
	if _, ok := m.Balloon(); ok {
		t.Error("a machine that is off has a balloon")
	}
	m.Reclaim(8 << 20)
	for range 2 {
		m.adopt(&board{balloon: balloon.New(nil)})
		if b, ok := m.Balloon(); !ok || b.Target != 8<<20 || b.Actual != 0 || !b.At.IsZero() {
			t.Errorf("%+v, %v", b, ok)
		}
	}
	m.Reclaim(0)
	if b, _ := m.Balloon(); b.Target != 0 {
		t.Errorf("target %d after all was given back", b.Target)
	}
	m.adopt(&board{})
	m.Reclaim(1)
	if _, ok := m.Balloon(); ok {
		t.Error("a board without a balloon has one")
	}
}
