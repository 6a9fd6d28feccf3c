package machine

import (
	"fmt"
	"sync"
	"time"
)

// cables are those of the network cards, as the configuration and then the user have plugged them in. They outlive a power cycle, as they
// would on a desk.
type cables struct {
	mu    sync.Mutex
	moved map[int]bool                       // what the user has done, by the card's number: plugged in or not
	cards map[int]interface{ SetLink(bool) } // of the latest board
}

// plugged says whether the cable of card n is in; configured is what the configuration says.
func (c *cables) plugged(n int, configured bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if up, ok := c.moved[n]; ok {
		return up
	}
	return configured
}

// wire makes dev the card n of the board that is being made.
func (c *cables) wire(n int, dev interface{ SetLink(bool) }) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cards == nil {
		c.cards = map[int]interface{ SetLink(bool) }{}
	}
	c.cards[n] = dev
	if up, ok := c.moved[n]; ok { // it may have changed since the card was made
		dev.SetLink(up)
	}
}

// outFor is how long cables are out when a machine goes on from a snapshot: long enough for a guest's driver to see it, short enough for a user not to.
const outFor = 200 * time.Millisecond

// pull takes all cables out, so that the guest knows that its connections are gone, and plugs in again afterwards those that were in.
func (m *Machine) pull(stop <-chan struct{}) {
	m.cables.each(func(_ int, dev interface{ SetLink(bool) }) { dev.SetLink(false) })
	timer := time.NewTimer(outFor)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-stop:
		return
	}
	m.cables.each(func(n int, dev interface{ SetLink(bool) }) {
		for i := range m.cfg.NICs {
			if nic := &m.cfg.NICs[i]; nic.Index == n && m.links[i] != nil {
				up, moved := m.cables.moved[n]
				dev.SetLink(up || !moved && nic.Connected)
			}
		}
	})
}

// each calls f for every card of the latest board, with c.mu held.
func (c *cables) each(f func(n int, dev interface{ SetLink(bool) })) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n, dev := range c.cards {
		f(n, dev)
	}
}

// SetLink plugs the cable of network card ethernetN in, or pulls it out. It errs where the machine has no such card, or the card no cable.
func (m *Machine) SetLink(n int, up bool) error {
	for i := range m.cfg.NICs {
		if m.cfg.NICs[i].Index != n {
			continue
		}
		if m.links[i] == nil {
			return fmt.Errorf("ethernet%d is connected to nothing", n)
		}
		c := &m.cables
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.moved == nil {
			c.moved = map[int]bool{}
		}
		c.moved[n] = up
		if dev := c.cards[n]; dev != nil {
			dev.SetLink(up)
		}
		return nil
	}
	return fmt.Errorf("the machine has no ethernet%d", n)
}
