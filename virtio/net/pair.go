package net

import (
	"fmt"
	"time"

	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/virtio"
)

// pair is a receive and a transmit queue, and the link that they are wired to.
type pair struct {
	index   int
	link    network.Link
	rx      receiver
	tx      transmitter
	workers virtio.Workers
}

func newPair(d *Device, index int, link network.Link, c *Config) *pair {
	p := &pair{index: index, link: link}
	p.rx = receiver{dev: d, link: link, gate: c.In}
	p.tx = transmitter{dev: d, link: link, gate: c.Out, workers: &p.workers}
	return p
}

// start sets the pair to work, as far as the driver has enabled its queues.
func (p *pair) start(a *virtio.Activation) {
	if q := p.rx.q; q != nil {
		p.rx.prepare(a)
		wake := func() {
			_ = p.link.SetReadDeadline(time.Unix(1, 0)) // a link that cannot is closed, and so does not read
			q.Kick.Signal()
		}
		p.workers.Go(a, fmt.Sprintf("receiver %d", p.index), wake, func() error { return p.rx.run(&p.workers) })
	}
	if q := p.tx.q; q != nil {
		p.tx.waiter = throttle.NewWaiter(nil, q.Kick.Signal)
		p.workers.Serve(a, q, p.tx.handle)
	}
}

// stop returns when neither worker touches the guest any more.
func (p *pair) stop() { p.workers.Stop() }
