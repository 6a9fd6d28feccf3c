package machine

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/machine/sandbox"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/tap"
	"github.com/sharevm/vmm/network/usernet"
)

// openLink connects a network card as its configuration says; nil for a card without a cable.
func openLink(resolvers *sandbox.File, n *config.NIC, allow []uint16, mark func(string), log *slog.Logger) (network.Link, error) {
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
		Policy:     policyOf(n),
		Boot:       usernet.Boot{Folder: n.Boot.Folder, File: n.Boot.File, Script: n.Boot.Script},
		Logger:     log,

		OpenResolvConf: resolvers.Open,
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

// connections are what each link carries for the guest, and will not when it goes on elsewhere.
func (m *Machine) connections() [][]network.Connection {
	all := make([][]network.Connection, len(m.links))
	for i, l := range m.links {
		if c, ok := l.(network.Carrier); ok {
			all[i] = c.Connections()
		}
	}
	return all
}

// abandon has the guest give up, at each link, connections that were carried where it was saved.
func (m *Machine) abandon(all [][]network.Connection) {
	for i := range min(len(all), len(m.links)) {
		if c, ok := m.links[i].(network.Carrier); ok && len(all[i]) > 0 {
			c.Abandon(all[i])
		}
	}
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

// policyOf is the firewall of a card's user network.
func policyOf(n *config.NIC) usernet.Policy {
	switch {
	case n.Connection == config.ConnHostOnly:
		return usernet.HostOnly{}
	case len(n.Allow) == 0:
		return usernet.Outbound{LAN: n.LAN}
	}
	protocols := map[string]usernet.Protocol{"tcp": usernet.TCP, "udp": usernet.UDP}
	var rules []usernet.Rule
	for _, r := range n.Allow {
		rules = append(rules, usernet.Rule{Name: r.Name, Prefix: r.Prefix, Port: r.Port, Protocol: protocols[r.Protocol]})
	}
	return usernet.NewAllowList(nil, rules)
}

// forward translates a published port.
func forward(f config.Forward) usernet.Forward {
	proto := usernet.TCP
	if f.UDP {
		proto = usernet.UDP
	}
	return usernet.Forward{Protocol: proto, Host: netip.AddrPortFrom(f.HostAddr, f.HostPort), Guest: f.GuestPort}
}
