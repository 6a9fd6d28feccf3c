package machine

import (
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/machine/sandbox"
	"github.com/sharevm/vmm/vmm/memory"
)

// Confine puts the calling process into a sandbox that leaves it what this machine needs, power cycles to come included, and says how it
// holds. There is no way back, so it is for a process that runs no other machine. It belongs between New and Run: the guest's kernel
// is already looked at inside.
func (m *Machine) Confine() ([]sandbox.Layer, error) {
	memory.Prepare()
	c := sandbox.Config{Log: m.log, Priorities: m.cpu.ByPriority(), Listening: true, Child: m.tpm != nil} // listening for the control socket
	for i := range m.cfg.NICs {
		switch m.cfg.NICs[i].Connection {
		case config.ConnUser, config.ConnHostOnly: // also a host-only network asks by a socket which addresses are the host's
			c.Network = true
			c.Files = []*sandbox.File{m.resolvers}
		case config.ConnTap:
			c.Tap = true
		}
	}
	layers, err := sandbox.Enter(c)
	if err == nil {
		m.opt.Timeline.Add("sandbox entered")
	}
	return layers, err
}
