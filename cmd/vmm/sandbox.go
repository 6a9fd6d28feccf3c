package main

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/sharevm/vmm/machine"
	"github.com/sharevm/vmm/machine/sandbox"
	"github.com/sharevm/vmm/vmm/host"
)

// confine takes from the process what the machine does not need, before it looks at anything of the guest's.
func (fl *runFlags) confine(m *machine.Machine, log *slog.Logger) error {
	if fl.noSandbox {
		log.Warn("no sandbox: a guest that breaks out can do all that you can")
		return nil
	}
	layers, err := m.Confine()
	if err != nil {
		return fmt.Errorf("%w; --no-sandbox runs the machine without", err)
	}
	for _, l := range layers {
		if l.InForce {
			log.Info("sandbox", "layer", l.Name, "detail", l.Detail)
		} else {
			log.Warn("sandbox: a layer is missing", "layer", l.Name, "why", l.Detail)
		}
	}
	return nil
}

// sandboxChecks says for vmm doctor how well machines can be confined here.
func sandboxChecks() []host.Check {
	var checks []host.Check
	for _, l := range sandbox.Available() {
		c := host.Check{Name: strings.ToLower(l.Name), Level: host.Good, Result: l.Detail}
		if !l.InForce {
			c.Level, c.Do = host.Minor, "machines run with the other layers of the sandbox; a newer kernel adds this one"
		}
		checks = append(checks, c)
	}
	return checks
}
