package usernet

import (
	"net/netip"
	"sync"
	"time"
)

// Reason says why something that the guest wanted was refused.
type Reason uint8

// The reasons.
const (
	RefusedHost   Reason = iota // the host itself, or what has a meaning only on its link or in the guest's own subnet
	RefusedLAN                  // a private address that the policy does not open
	RefusedPolicy               // anything else that the policy does not allow
	RefusedName                 // a DNS question about a name that the policy does not allow
	RefusedLimit                // beyond MaxTCP, MaxUDP, or what may be in flight

	reasons
)

func (r Reason) String() string {
	return [...]string{"host", "lan", "policy", "name", "limit"}[r]
}

// Refusal is something that was refused to the guest.
type Refusal struct {
	At       time.Time
	Reason   Reason
	Protocol Protocol
	To       netip.AddrPort // not valid for a name
	Name     string         // the guest's own spelling, for RefusedName: hostile text of at most 255 bytes
}

// maxRecent is how many refusals are remembered.
const maxRecent = 32

// refusals remembers the latest refusals.
type refusals struct {
	mu     sync.Mutex
	recent [maxRecent]Refusal
	next   int // in recent
	full   bool
}

func (l *refusals) add(r Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recent[l.next] = r
	l.next = (l.next + 1) % maxRecent
	l.full = l.full || l.next == 0
}

// Refusals returns the latest refusals, oldest first, at most 32. It may be called at any time.
func (n *Network) Refusals() []Refusal {
	l := &n.refusals
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.full {
		return append([]Refusal(nil), l.recent[:l.next]...)
	}
	return append(append([]Refusal(nil), l.recent[l.next:]...), l.recent[:l.next]...)
}

// refuse counts and remembers that a flow was refused.
func (n *Network) refuse(why Reason, proto Protocol, dst netip.AddrPort) {
	n.stats.refused[why].Add(1)
	n.refusals.add(Refusal{At: time.Now(), Reason: why, Protocol: proto, To: dst})
}

// refuseName counts and remembers that a question was refused.
func (n *Network) refuseName(name string) {
	n.stats.refused[RefusedName].Add(1)
	n.refusals.add(Refusal{At: time.Now(), Reason: RefusedName, Protocol: UDP, Name: name})
}
