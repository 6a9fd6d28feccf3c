package usernet

import (
	"maps"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/localnet"
)

// Rule is a line of an [AllowList].
type Rule struct {
	// Name is a DNS name in lower case without a dot at the end; "*.example.org" stands for every name below example.org, and "*" for
	// every name. Exactly one of Name and Prefix is set.
	Name   string
	Prefix netip.Prefix // IPv4

	Port     uint16   // 0 is every port, and echoes
	Protocol Protocol // 0 is every protocol
}

// AllowList is a Policy of rules: a flow may go where one of them says. A rule with a name opens the addresses that the network's own
// resolver has just answered that name with, for as long as the answer is good; what the guest says about its connections does not count.
// Names never open private addresses: whoever answers a question about a name could point it at the host's LAN. Only a prefix that lies
// within private addresses does.
type AllowList struct {
	clock clock.Clock
	rules []Rule

	mu     sync.Mutex
	opened map[opening]time.Time // until when
	swept  time.Time             // when what is over was last forgotten
}

// opening is an address that the rule of that number has opened by its name.
type opening struct {
	addr netip.Addr
	rule int
}

const (
	maxOpenings = 4096
	// A guest may ask once and connect at the last moment; browsers keep an answer for a minute whatever it says.
	leastTTL = time.Minute
	mostTTL  = 24 * time.Hour
)

var _ NamePolicy = (*AllowList)(nil)

// NewAllowList returns a policy of rules; c is nil for the host's clock.
func NewAllowList(c clock.Clock, rules []Rule) *AllowList {
	if c == nil {
		c = clock.Host
	}
	return &AllowList{clock: c, rules: rules, opened: make(map[opening]time.Time)}
}

// Allow implements Policy.
func (l *AllowList) Allow(f Flow) bool {
	if f.Region == Host {
		return true // at a port that was named for it
	}
	for i := range l.rules {
		r := &l.rules[i]
		switch {
		case r.Port != 0 && (r.Port != f.To.Port() || f.Protocol == ICMP), r.Protocol != 0 && r.Protocol != f.Protocol:
		case r.Name == "":
			if r.Prefix.Contains(f.To.Addr()) && (f.Region == World || localnet.Within(r.Prefix)) {
				return true
			}
		case f.Region == World && l.isOpen(opening{f.To.Addr(), i}):
			return true
		}
	}
	return false
}

func (l *AllowList) isOpen(o opening) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, ok := l.opened[o]
	return ok && l.clock.Now().Before(until)
}

// AllowName implements NamePolicy.
func (l *AllowList) AllowName(name string) bool {
	for i := range l.rules {
		if l.rules[i].matches(name) {
			return true
		}
	}
	return false
}

// matches says whether a rule names a name, which is in lower case and ends in a dot.
func (r *Rule) matches(name string) bool {
	name = strings.TrimSuffix(name, ".")
	if suffix, ok := strings.CutPrefix(r.Name, "*"); ok {
		return suffix == "" || strings.HasSuffix(name, suffix) && len(name) > len(suffix)
	}
	return r.Name != "" && r.Name == name
}

// Resolved implements NamePolicy.
func (l *AllowList) Resolved(name string, found []Resolution) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	for i := range l.rules {
		if !l.rules[i].matches(name) {
			continue
		}
		for _, r := range found {
			until := now.Add(min(max(r.TTL, leastTTL), mostTTL))
			o := opening{r.Addr, i}
			if until.After(l.opened[o]) {
				l.makeRoom(now, o)
				l.opened[o] = until
			}
		}
	}
}

// makeRoom sees to it that there is a place for o: it forgets what is over, at most once a second, and else any other. The guest that fills
// the table harms itself. l.mu is held.
func (l *AllowList) makeRoom(now time.Time, o opening) {
	if _, known := l.opened[o]; known || len(l.opened) < maxOpenings {
		return
	}
	if now.Sub(l.swept) >= time.Second {
		l.swept = now
		maps.DeleteFunc(l.opened, func(_ opening, until time.Time) bool { return !now.Before(until) })
	}
	for k := range l.opened {
		if len(l.opened) < maxOpenings {
			break
		}
		delete(l.opened, k)
	}
}
