package main

import (
	"log/slog"

	"github.com/sharevm/vmm/machine/control"
)

// serveControl opens the control socket of a machine and returns what closes it. A host that has no place for the socket runs the machine
// all the same.
func serveControl(name string, m control.Machine, log *slog.Logger) (stop func()) {
	root, err := control.Root()
	if err == nil {
		var s *control.Socket
		if s, err = control.Open(root, name); err == nil {
			log.Debug("control socket", "id", s.ID(), "folder", s.Folder())
			s.Serve(m, log)
			return func() { _ = s.Close() }
		}
	}
	log.Warn("vmm ps and vmm limit do not see this machine", "error", err)
	return func() {}
}
