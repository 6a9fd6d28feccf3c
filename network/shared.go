package network

import "sync"

// Shared returns links of a card with n pairs of queues, of which there is one link: all send by it, one at a time, and the first alone receives.
// It serves guests whose processors each have a queue of their own to send by.
func Shared(link Link, n int) []Link {
	if n == 1 {
		return []Link{link}
	}
	turn := new(sync.Mutex)
	links := []Link{&sender{link, link, turn}}
	for len(links) < n {
		links = append(links, &sender{Unplugged(), link, turn})
	}
	return links
}

// sender sends by another link than it receives from. The guest's offloads are the business of the one that receives.
type sender struct {
	Link
	to   Link
	turn *sync.Mutex // a Link has one worker that sends
}

func (s *sender) WriteFrame(bufs [][]byte) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.to.WriteFrame(bufs)
}

func (s *sender) Offloads() Offloads { return s.to.Offloads() }
