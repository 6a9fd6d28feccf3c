package main

import (
	"net/netip"
	"os"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/images/nested"
)

// throughNested returns the forwards that lead a machine's published ports into the nested host, and what cannot be led there.
func throughNested(cfg *config.Machine) (lead []nested.Forward, lost []string) {
	for _, n := range cfg.NICs {
		for _, f := range n.Publish {
			switch {
			case f.UDP:
				lost = append(lost, f.String()+" is not published: the nested host passes on TCP alone")
				continue
			case !f.HostAddr.IsLoopback():
				lost = append(lost, f.String()+" is published on the loopback only, because of the nested host")
			}
			lead = append(lead, nested.Forward{Host: f.HostPort, Guest: f.HostPort})
		}
	}
	return lead, lost
}

// publishInNested has the ports of a machine in the nested host listen where the forwards of throughNested arrive: at its network card,
// which nobody else reaches.
func publishInNested(cfg *config.Machine) {
	if os.Getenv(nestedStart) == "" {
		return
	}
	for i := range cfg.NICs {
		for k := range cfg.NICs[i].Publish {
			cfg.NICs[i].Publish[k].HostAddr = netip.IPv4Unspecified()
		}
	}
}
