package session

import "github.com/sharevm/vmm/session/link"

// Clip says which ways text goes between a machine's clipboard and the session's.
type Clip struct{ In, Out bool }

// Share says which ways text goes, none as long as it has not been called. What the user copies belongs to the machine in front, and to those that are turned to later.
func (s *Session) Share(machine int, c Clip) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.machines[machine].clip = c
}

// offered takes a text that the user has copied somewhere else. It is called by the clipboard, which therefore is never called with s.mu held.
func (s *Session) offered(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = text
	s.paste()
}

// paste hands the front machine the text, unless it has it; s.mu is held.
func (s *Session) paste() {
	m := s.machines[s.front]
	if m.remote != nil && m.clip.In && s.text != m.text {
		m.text = s.text
		m.remote.Paste(s.text)
	}
}

// copied takes a text that a machine's guest has put on its clipboard, if that is the machine in front.
func (s *Session) copied(machine int, r *link.Remote, text string) {
	s.mu.Lock()
	m := s.machines[machine]
	if s.closed || m.remote != r || machine != s.front || !m.clip.Out {
		s.mu.Unlock()
		return
	}
	m.text, s.text = text, text
	s.mu.Unlock()
	s.clip.Set(text)
}
