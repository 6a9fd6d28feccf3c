package main

import (
	"log/slog"

	"github.com/sharevm/vmm/machine/control"
	"github.com/sharevm/vmm/machine/journal"
)

// serveControl opens the control socket of a machine and returns what closes it, and the machine's id. A host that has no place for the socket runs the machine
// all the same, without an id.
func serveControl(name string, m control.Machine, log *slog.Logger) (id string, stop func()) {
	root, err := control.Root()
	if err == nil {
		var s *control.Socket
		if s, err = control.Open(root, name); err == nil {
			log.Debug("control socket", "id", s.ID(), "folder", s.Folder())
			s.Serve(m, log)
			return s.ID(), func() { _ = s.Close() }
		}
	}
	log.Warn("vmm ps and vmm limit do not see this machine", "error", err)
	return "", func() {}
}

// keepJournal has the journal of the machine of that id written. A host that has no place for it runs the machine all the same.
func keepJournal(j *journal.Journal, id string, log *slog.Logger) {
	if id == "" {
		return
	}
	folder, err := journal.Folder()
	if err == nil {
		err = j.Open(folder, id)
	}
	if err != nil {
		log.Info("vmm logs will not know of this machine", "error", err)
	}
}
