package machine

import (
	"testing"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/network"
)

type fakeCard struct{ up bool }

func (c *fakeCard) SetLink(up bool) { c.up = up }

// TestCables pulls a cable out, which stays out over a power cycle.
func TestCables(t *testing.T) {
	m := &Machine{cfg: &config.Machine{NICs: []config.NIC{{Index: 0}, {Index: 3}}}, links: []network.Link{nil, network.Unplugged()}}
	for _, n := range []int{0, 1} {
		if m.SetLink(n, true) == nil {
			t.Errorf("ethernet%d has a cable", n)
		}
	}
	if !m.cables.plugged(3, true) || m.cables.plugged(3, false) {
		t.Error("not as configured")
	}
	var first, second fakeCard
	m.cables.wire(3, &first)
	if err := m.SetLink(3, true); err != nil || !first.up {
		t.Errorf("%v, up %v", err, first.up)
	}
	if err := m.SetLink(3, false); err != nil || first.up {
		t.Errorf("%v, up %v", err, first.up)
	}
	second.up = true
	m.cables.wire(3, &second)
	if second.up || m.cables.plugged(3, true) {
		t.Error("the cable is in again after a power cycle")
	}
}

// TestPull takes the cables out for a moment; what the user has done stays done.
func TestPull(t *testing.T) {
	m := &Machine{cfg: &config.Machine{NICs: []config.NIC{{Index: 0, Connected: true}, {Index: 1, Connected: true}, {Index: 2}, {Index: 3, Connected: true}}}}
	cable := network.Unplugged()
	m.links = []network.Link{cable, cable, cable, nil}
	var cards [4]fakeCard
	for i := range cards {
		cards[i].up = m.cfg.NICs[i].Connected && m.links[i] != nil
		m.cables.wire(i, &cards[i])
	}
	if err := m.SetLink(1, false); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	close(stopped)
	m.pull(stopped)
	for i := range cards {
		if cards[i].up {
			t.Errorf("the cable of card %d is in", i)
		}
	}
	m.pull(nil)
	for i, want := range []bool{true, false, false, false} {
		if cards[i].up != want {
			t.Errorf("card %d: up %v", i, cards[i].up)
		}
	}
}
