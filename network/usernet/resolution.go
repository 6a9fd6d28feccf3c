package usernet

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const maxAnswers = 64 // records of an answer that are looked at

// resolutions are the IPv4 addresses that an answer gives to a name (lower case, dot at the end), by itself or by its aliases. Records that
// are about other names do not count, whoever sent them.
func resolutions(name string, answer []byte) []Resolution {
	type record struct {
		name, alias string
		addr        netip.Addr
		ttl         time.Duration
	}
	var p dnsmessage.Parser
	if _, err := p.Start(answer); err != nil || p.SkipAllQuestions() != nil {
		return nil
	}
	var records []record
	for len(records) < maxAnswers {
		h, err := p.AnswerHeader()
		if err != nil {
			break
		}
		r := record{name: strings.ToLower(h.Name.String()), ttl: time.Duration(h.TTL) * time.Second}
		switch h.Type {
		case dnsmessage.TypeA:
			a, err := p.AResource()
			if err != nil {
				return nil
			}
			r.addr = netip.AddrFrom4(a.A)
		case dnsmessage.TypeCNAME:
			c, err := p.CNAMEResource()
			if err != nil {
				return nil
			}
			r.alias = strings.ToLower(c.CNAME.String())
		default:
			if p.SkipAnswer() != nil {
				return nil
			}
			continue
		}
		records = append(records, r)
	}
	// A chain of aliases is as good as its shortest-lived link. Most servers send it in order; nothing says that they must.
	names := map[string]time.Duration{name: math.MaxInt64}
	for known := 0; known < len(names); {
		known = len(names)
		for _, r := range records {
			ttl, ours := names[r.name]
			if _, seen := names[r.alias]; ours && r.alias != "" && !seen {
				names[r.alias] = min(ttl, r.ttl)
			}
		}
	}
	var found []Resolution
	for _, r := range records {
		if ttl, ours := names[r.name]; ours && r.alias == "" {
			found = append(found, Resolution{r.addr, min(ttl, r.ttl)})
		}
	}
	return found
}
