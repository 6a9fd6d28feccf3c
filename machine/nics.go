package machine

import (
	"fmt"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/virtio/net"
)

// card is a network adapter with what it is wired to.
type card struct {
	*config.NIC
	name  string
	mac   config.MAC
	link  network.Link // never nil; network.Unplugged without a cable
	down  bool         // the link is down at power-on
	gates gates
}

// addNICs plugs the network adapters, each as the model that the configuration names.
func (b *board) addNICs() error {
	for i := range b.m.cfg.NICs {
		n := &b.m.cfg.NICs[i]
		c := card{NIC: n, name: fmt.Sprintf("ethernet%d", n.Index), mac: b.m.macs[i], link: b.m.links[i], down: !b.m.cables.plugged(n.Index, n.Connected), gates: b.m.nicGates[i]}
		if n.Model == config.NICVlance {
			b.m.log.Warn("there is no AMD PCnet card (vlance): the adapter is left out", "adapter", c.name)
			continue
		}
		if c.link == nil {
			c.link, c.down = network.Unplugged(), true
		}
		add, ok := map[config.NICModel]func(card) error{
			config.NICVirtio:  b.addVirtioNet,
			config.NICE1000:   b.addE1000,
			config.NICE1000E:  b.addE1000E,
			config.NICVmxnet3: b.addVmxnet3,
		}[n.Model]
		if !ok {
			return fmt.Errorf("%s: the model %q is not supported yet", c.name, n.Model)
		}
		if err := add(c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// maxPairs bounds the pairs of queues of a card, one for each processor to send by.
const maxPairs = 4

func (b *board) addVirtioNet(c card) error {
	dev, err := net.New(net.Config{
		MAC: c.mac, LinkDown: c.down, In: c.gates.in, Out: c.gates.out, Links: network.Shared(c.link, min(b.m.cfg.CPU.Count, maxPairs)), Log: b.m.log,
	})
	if err != nil {
		return err
	}
	b.m.cables.wire(c.Index, dev)
	f, err := b.plugVirtio(c.name, dev)
	if err != nil {
		return err
	}
	b.bootCard(c, f)
	return nil
}
