package machine

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/tap"
	"github.com/sharevm/vmm/network/usernet"
)

// openLink connects a network card as its configuration says; nil for a card without a cable.
func openLink(m *config.Machine, n *config.NIC, allow []uint16, mark func(string), log *slog.Logger) (network.Link, error) {
	switch n.Connection {
	case config.ConnNone:
		return nil, nil
	case config.ConnTap:
		links, err := tap.Open(tap.Config{Name: n.Interface})
		if err != nil {
			return nil, fmt.Errorf("ethernet%d: %w", n.Index, err)
		}
		return links[0], nil
	case config.ConnUser, config.ConnHostOnly:
	default:
		return nil, fmt.Errorf("ethernet%d: connection %q is not supported yet; use --net user or --net tap=NAME", n.Index, n.Connection)
	}
	c := usernet.Config{
		HostAccess: usernet.HostAccess{All: n.HostAccess, Ports: allow},
		OnLease:    func(l usernet.Lease) { mark(fmt.Sprintf("network up: the guest is %s", l.Addr.Addr())) },
		Logger:     log,
	}
	if n.Connection == config.ConnHostOnly {
		c.Policy = noWayOut{}
	}
	for _, f := range n.Publish {
		c.Forwards = append(c.Forwards, forward(f))
	}
	l, err := usernet.New(c)
	if err != nil {
		return nil, fmt.Errorf("ethernet%d: %w", n.Index, err)
	}
	return l, nil
}

// closeLinks closes every link, and says what failed.
func closeLinks(links []network.Link) error {
	var errs []error
	for _, l := range links {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// noWayOut is the policy of a host-only network: the guest reaches its gateway and nothing beyond. Names stay unanswered, since a
// question to a server of the guest's choice carries whatever it likes to the outside.
type noWayOut struct{}

var _ usernet.NamePolicy = noWayOut{}

// Allow implements usernet.Policy.
func (noWayOut) Allow(usernet.Protocol, netip.AddrPort) bool { return false }

// AllowName implements usernet.NamePolicy.
func (noWayOut) AllowName(string) bool { return false }

// Resolved implements usernet.NamePolicy.
func (noWayOut) Resolved(string, []netip.Addr) {}

// forward translates a published port.
func forward(f config.Forward) usernet.Forward {
	proto := usernet.TCP
	if f.UDP {
		proto = usernet.UDP
	}
	return usernet.Forward{Protocol: proto, Host: netip.AddrPortFrom(f.HostAddr, f.HostPort), Guest: f.GuestPort}
}
