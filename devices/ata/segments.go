package ata

// MaxSegments is how many pieces of guest memory one part of a command has at most. With two bytes each, which is the least of IDE and AHCI, they
// hold a sector of any medium.
const MaxSegments = 1024

// Segments is a queue of pieces of guest memory: a controller adds what its table names, and parts of a command take from the front.
type Segments struct {
	all   [][]byte
	part  [][]byte
	bytes int
}

// Reset empties the queue. Storage is kept.
func (s *Segments) Reset() { s.all, s.part, s.bytes = s.all[:0], s.part[:0], 0 }

// Len is how many bytes the queue holds.
func (s *Segments) Len() int { return s.bytes }

// Full says whether the queue takes no more.
func (s *Segments) Full() bool { return len(s.all) >= MaxSegments }

// Add appends p.
func (s *Segments) Add(p []byte) {
	if len(p) > 0 {
		s.all = append(s.all, p)
		s.bytes += len(p)
	}
}

// Take removes the first n bytes, of which there must be as many. The result holds until the next call.
func (s *Segments) Take(n int) [][]byte {
	s.part = s.part[:0]
	s.bytes -= n
	used := 0
	for n > 0 {
		p := s.all[used]
		if len(p) > n {
			s.part = append(s.part, p[:n])
			s.all[used] = p[n:]
			break
		}
		s.part = append(s.part, p)
		n -= len(p)
		used++
	}
	s.all = s.all[:copy(s.all, s.all[used:])]
	return s.part
}

// Part is how many bytes the next part of c has, given what the queue holds: all that is left of the command, or a multiple of its unit.
func (s *Segments) Part(c *Command) int {
	left := c.Length - c.Done
	if s.bytes >= left {
		return left
	}
	return s.bytes - s.bytes%c.Unit
}
