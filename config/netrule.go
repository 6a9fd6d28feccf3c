package config

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sharevm/vmm/internal/localnet"
)

// NetRule is an entry of an allow-list: a place that a guest may reach. Exactly one of Name and Prefix is set.
type NetRule struct {
	Name     string       // DNS name in lower case; "*.example.org" is every name below example.org, "*" every name
	Prefix   netip.Prefix // IPv4
	Port     uint16       // 0 is every port
	Protocol string       // "tcp", "udp", or "" for both and echoes
}

// String is the spelling that ParseNetRule reads.
func (r NetRule) String() string {
	s := r.Name
	if s == "" {
		if s = r.Prefix.String(); r.Prefix.IsSingleIP() {
			s = r.Prefix.Addr().String()
		}
	}
	if r.Port != 0 {
		s += fmt.Sprintf(":%d", r.Port)
	}
	if r.Protocol != "" {
		s += "/" + r.Protocol
	}
	return s
}

// Local says whether the rule opens addresses of the host's own network, which a stranger's machine file must not.
func (r NetRule) Local() bool { return r.Name == "" && localnet.Within(r.Prefix) }

// ParseNetRule reads "NAME[:PORT][/tcp|/udp]", where NAME is a DNS name, one with "*." in front, "*", an IPv4 address or prefix: as
// in "example.org:443", "*.debian.org", "192.0.2.0/24", "198.51.100.7:53/udp".
func ParseNetRule(s string) (NetRule, error) {
	bad := fmt.Errorf("%q is not a place to allow (want NAME[:PORT][/tcp|/udp], such as example.org:443, *.debian.org or 192.0.2.0/24)", s)
	var r NetRule
	place := strings.ToLower(strings.TrimSpace(s))
	for _, proto := range []string{"tcp", "udp"} {
		if rest, ok := strings.CutSuffix(place, "/"+proto); ok {
			place, r.Protocol = rest, proto
			break
		}
	}
	if host, port, ok := strings.Cut(place, ":"); ok {
		if r.Port, ok = parsePort(port); !ok {
			return NetRule{}, bad
		}
		place = host
	}
	if p, err := netip.ParsePrefix(place); err == nil {
		if !p.Addr().Is4() || p != p.Masked() {
			return NetRule{}, bad
		}
		r.Prefix = p
		return r, nil
	}
	if a, err := netip.ParseAddr(place); err == nil {
		if !a.Is4() {
			return NetRule{}, bad
		}
		r.Prefix = netip.PrefixFrom(a, 32)
		return r, nil
	}
	if r.Name = strings.TrimSuffix(place, "."); !validPattern(r.Name) || place == "*." {
		return NetRule{}, bad
	}
	return r, nil
}

// validPattern says whether s is a host name (RFC 1123, section 2.1, and underscores, which are in use), one behind "*.", or "*".
func validPattern(s string) bool {
	if s == "*" {
		return true
	}
	s = strings.TrimPrefix(s, "*.")
	if s == "" || len(s) > 253 {
		return false
	}
	numeric := true
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
		numeric = strings.Trim(label, "0123456789") == ""
	}
	return !numeric // the last label of a name is never a number: that was to be an address
}
