package link

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// wake has the goroutine look that waits for c, which holds one value.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// join follows the guest's clipboard; texts gets a value when there is a new text.
func (s *Server) join(texts chan struct{}) (leave func()) {
	if s.m.Clipboard == nil {
		return func() {}
	}
	s.clip = s.m.Clipboard.Join(func(text string) {
		s.copied.mu.Lock()
		s.copied.text, s.copied.news = text, true
		s.copied.mu.Unlock()
		wake(texts)
	})
	return s.clip.Leave
}

// sendCopied tells the session the text that the guest has put on its clipboard last.
func (s *Server) sendCopied() {
	s.copied.mu.Lock()
	text, news := s.copied.text, s.copied.news
	s.copied.text, s.copied.news = "", false
	s.copied.mu.Unlock()
	if news {
		_ = s.c.send(kindCopied, -1, []byte(text)) // a session that is gone needs no news
	}
}

// paste puts a text of the session's on the guest's clipboard.
func (s *Server) paste(p []byte) error {
	if !utf8.Valid(p) {
		return fmt.Errorf("%w: a text that is none", ErrProtocol)
	}
	if s.clip != nil {
		s.clip.Set(string(p))
	}
	return nil
}

// Paste puts a text on the guest's clipboard, if the machine takes texts.
func (r *Remote) Paste(text string) {
	r.mu.Lock()
	r.queue = slices.DeleteFunc(r.queue, func(o outgoing) bool { return o.kind == kindPaste }) // one of them waits at most
	r.mu.Unlock()
	r.post(kindPaste, []byte(text))
}

// OnCopied has f told each text that the guest puts on its clipboard, until the link ends. f must not wait for the machine.
func (r *Remote) OnCopied(f func(text string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.copied = f
}

// takeCopied takes a text that the guest has put on its clipboard.
func (r *Remote) takeCopied(p []byte) error {
	if !utf8.Valid(p) {
		return fmt.Errorf("%w: a text that is none", ErrProtocol)
	}
	r.mu.Lock()
	f := r.copied
	r.mu.Unlock()
	if f != nil {
		f(string(p))
	}
	return nil
}
