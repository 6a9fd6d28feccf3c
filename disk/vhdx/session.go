package vhdx

import (
	"fmt"

	"github.com/sharevm/vmm/disk"
)

// session is one opening of a file for writing: its headers and its log.
type session struct {
	file    *steady
	headers *headers
	log     *logWriter // nil until something is to be logged
	keep    bool       // what children know the disk by stays as it is
	touched bool       // the file's identifier is this session's
	begun   bool       // so is that of the contents
}

// begin runs before the session's first change that a reader of the disk can see: both identifiers of the contents become new, durably, so
// that no change is ever seen without them.
func (s *session) begin() error {
	if s.keep {
		return s.touch()
	}
	if s.begun {
		return nil
	}
	if err := s.update("change the identifiers", func(h *header) { h.fileWrite, h.dataWrite = newGUID(), newGUID() }); err != nil {
		return err
	}
	s.begun, s.touched = true, true
	return nil
}

// touch runs before the session's first change of anything.
func (s *session) touch() error {
	if s.touched {
		return nil
	}
	if err := s.update("change the file's identifier", func(h *header) { h.fileWrite = newGUID() }); err != nil {
		return err
	}
	s.touched = true
	return nil
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

// cut ends the file at end and empties the log, all of whose pages are in their places. A log in use says how long the file is at least: it
// says so before the file shrinks.
func (s *session) cut(end int64) error {
	var err error
	switch {
	case s.log != nil:
		if err = s.file.Sync(); err == nil {
			err = s.logPages(nil, end)
		}
	case s.headers.dirty(): // another session's
		err = s.openLog(end)
	}
	if err != nil {
		return err
	}
	if err := s.file.Truncate(end); err != nil {
		return err
	}
	if s.log == nil {
		return s.file.Sync()
	}
	return s.closeLog()
}

// logPages makes an entry of the open log durable. All that was logged before is in its place, durably.
func (s *session) logPages(pages []page, fileSize int64) error {
	at, p := s.log.entry(pages, fileSize)
	if _, err := s.file.WriteAt(p, at); err != nil {
		return err
	}
	return s.file.Sync()
}

func (s *session) update(what string, change func(*header)) error {
	if err := s.headers.update(s.file, change); err != nil {
		return fmt.Errorf("%s: %s: %w", s.file.Name(), what, err)
	}
	return nil
}

// recover replays the log in the file and gives back what the last writer took at its end and did not publish.
func (s *session) recover(r *replayed, t *table) error {
	if err := s.touch(); err != nil {
		return err
	}
	if err := r.commit(); err != nil {
		return err
	}
	t.file = s.file
	if t.end > 0 && t.end < t.length {
		if err := s.cut(t.end); err != nil {
			return err
		}
		t.next, t.length = t.end, t.end
		return nil
	}
	return s.update("empty the log", func(h *header) { h.log = guid{} })
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
