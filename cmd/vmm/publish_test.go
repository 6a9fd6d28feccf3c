package main

import (
	"slices"
	"testing"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/images/nested"
)

func publishing(t *testing.T, forwards ...string) *config.Machine {
	t.Helper()
	var n config.NIC
	for _, s := range forwards {
		f, err := config.ParseForward(s)
		if err != nil {
			t.Fatal(err)
		}
		n.Publish = append(n.Publish, f)
	}
	return &config.Machine{NICs: []config.NIC{n}}
}

func TestThroughNested(t *testing.T) {
	lead, lost := throughNested(publishing(t, "8080:80", "5353:53/udp", "0.0.0.0:2222:22"))
	if want := []nested.Forward{{Host: 8080, Guest: 8080}, {Host: 2222, Guest: 2222}}; !slices.Equal(lead, want) {
		t.Errorf("led through: %v, want %v", lead, want)
	}
	if len(lost) != 2 {
		t.Errorf("said of what is lost: %q", lost)
	}
}

func TestPublishInNested(t *testing.T) {
	m := publishing(t, "8080:80")
	t.Setenv(nestedStart, "")
	publishInNested(m)
	if a := m.NICs[0].Publish[0].HostAddr; !a.IsLoopback() {
		t.Errorf("outside of the nested host the port is offered at %v", a)
	}
	t.Setenv(nestedStart, "1")
	publishInNested(m)
	if a := m.NICs[0].Publish[0].HostAddr; !a.IsUnspecified() {
		t.Errorf("in the nested host the port is offered at %v, where nothing arrives", a)
	}
}
