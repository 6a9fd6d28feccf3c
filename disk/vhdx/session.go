package vhdx

import (
	"fmt"

	"github.com/sharevm/vmm/disk"
)

// session is one opening of a file for writing: its headers and its log.
type session struct {
	file    disk.File
	headers *headers
	log     *logWriter // nil until something is to be logged
}

// begin runs before the session's first change: both identifiers of the contents become new, durably, so that no change is ever seen without them.
func (s *session) begin() error {
	return s.update("change the identifiers", func(h *header) { h.fileWrite, h.dataWrite = newGUID(), newGUID() })
}

// openLog makes the log ready, if it is not. FileSize is the file's length, durable or not, in whole MiB.
func (s *session) openLog(fileSize int64) error {
	if s.log != nil {
		return nil
	}
	if s.headers.logLength < mib {
		return disk.Corrupt(s.file.Name(), headerAt[s.headers.slot]+68, "the file has no room for a log, so that it can only be read")
	}
	log := newLogWriter(&s.headers.header)
	// An empty entry comes before the header that makes it valid: so there is never a log in use without one.
	at, p := log.entry(nil, fileSize)
	if _, err := s.file.WriteAt(p, at); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	if err := s.update("open the log", func(h *header) { h.log = log.guid }); err != nil {
		return err
	}
	s.log = log
	return nil
}

// closeLog says that nothing in the log is needed any more.
func (s *session) closeLog() error {
	if s.log == nil {
		return nil
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	if err := s.update("empty the log", func(h *header) { h.log = guid{} }); err != nil {
		return err
	}
	s.log = nil
	return nil
}

func (s *session) update(what string, change func(*header)) error {
	if err := s.headers.update(s.file, change); err != nil {
		return fmt.Errorf("%s: %s: %w", s.file.Name(), what, err)
	}
	return nil
}

// recover replays the log in the file and gives back what the last writer took at its end and did not publish.
func (s *session) recover(r *replayed, t *table) error {
	if err := s.update("replay the log", func(h *header) { h.fileWrite = newGUID() }); err != nil {
		return err
	}
	if err := r.commit(); err != nil {
		return err
	}
	t.file = s.file
	if t.end > 0 && t.end < t.length {
		// A log in use says how long the file is at least. A new one says it before the file shrinks.
		if err := s.openLog(t.end); err != nil {
			return err
		}
		if err := s.file.Truncate(t.end); err != nil {
			return err
		}
		t.next, t.length = t.end, t.end
	} else if err := s.update("empty the log", func(h *header) { h.log = guid{} }); err != nil {
		return err
	}
	return s.closeLog()
}

// sequence is the number of the last log entry.
func (s *session) sequence() uint64 {
	if s.log == nil {
		return 0
	}
	return s.log.sequence
}

// setSequence has the entry after number n written again.
func (s *session) setSequence(n uint64) {
	if s.log != nil {
		s.log.sequence = n
	}
}
