package nic

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/internal/worker"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/vmm/event"
)

// Card is a card model as the workers of its port see it. Transmit and Flush are called on one goroutine, Room and Receive on another.
type Card interface {
	// Transmit takes the next frame out of the rings, passes it to Port.Send and returns true; without one it returns false.
	Transmit() bool
	// Flush follows a batch of Transmit calls: the driver may be told now.
	Flush()
	// Room says whether the card could take a frame. If not, the link keeps what it has until KickReceive.
	Room() bool
	// Receive takes a frame, or drops it by the card's own rules, and returns true. When the queue that it belongs to has no room it returns
	// false, and is offered the same frame after KickReceive.
	Receive(f *Frame) bool
	// LinkChanged follows a change of LinkUp.
	LinkChanged()
}

// Config says what a port is made of.
type Config struct {
	// Name of the card, for messages.
	Name string
	// Link is the cable. It stays owned by the caller, who closes it after the port is no longer used.
	Link network.Link
	// LinkDown starts with the cable unplugged; see Port.SetLink.
	LinkDown bool
	// In and Out bound how fast frames go to the guest and leave it. nil is no bound.
	In, Out *throttle.Gate
	// Poll asks a card without room again at this interval, for drivers that do not always tell of new buffers. 0 trusts KickReceive.
	Poll time.Duration
	// Log takes failures; nil discards them.
	Log *slog.Logger
}

const (
	// MaxReceive is the longest Ethernet frame that a card is given, in bytes: a jumbo frame with a VLAN tag.
	MaxReceive = 16384
	// transmitBatch is how many frames are sent before the card tells its driver.
	transmitBatch = 32
)

// Port is the end of a cable in a card.
type Port struct {
	card     Card
	cfg      Config
	offloads network.Offloads
	log      *slog.Logger
	stats    stats

	transmitKick, receiveKick doorbell

	carrier atomic.Bool
	workers worker.Group

	mu      sync.Mutex // guards what follows
	plugged bool
	failed  bool

	life    sync.Mutex // of the workers: guards started
	started bool

	// The transmitting worker's.
	bufs [][]byte
	head [network.HeaderLen + headMax + vlanTagLen]byte
	flat []byte // a frame in one piece, made when first needed

	// The receiving worker's.
	frame  Frame
	header [network.HeaderLen]byte
	space  [][]byte // header and frame, for the link
	held   bool     // frame waits for room
}

// doorbell wakes a worker that has said that it sleeps.
type doorbell struct {
	event  *event.Event
	asleep atomic.Bool
}

func (b *doorbell) ring() {
	if b.asleep.Load() {
		b.event.Signal()
	}
}

// sleep waits for a ring unless ready says that there is work after all.
func (b *doorbell) sleep(ready func() bool) error {
	b.asleep.Store(true)
	defer b.asleep.Store(false)
	if ready() {
		return nil
	}
	return b.event.Wait()
}

// NewPort returns a port whose workers do not run yet.
func NewPort(card Card, c Config) (*Port, error) {
	p := &Port{card: card, cfg: c, offloads: c.Link.Offloads(), log: c.Log, plugged: !c.LinkDown}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	for _, b := range []*doorbell{&p.transmitKick, &p.receiveKick} {
		e, err := event.New()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", c.Name, err), p.Close())
		}
		b.event = e
	}
	p.carrier.Store(p.plugged)
	p.frame.buf = make([]byte, MaxReceive+crcLen)
	p.space = [][]byte{p.header[:], p.frame.buf[:MaxReceive]}
	return p, nil
}

// TransmitEvent and ReceiveEvent wake the workers when signalled, for doorbells that the kernel rings.
func (p *Port) TransmitEvent() *event.Event { return p.transmitKick.event }

// ReceiveEvent is TransmitEvent for the receiver.
func (p *Port) ReceiveEvent() *event.Event { return p.receiveKick.event }

// KickTransmit makes the port look for frames to send. Any goroutine may call it.
func (p *Port) KickTransmit() { p.transmitKick.ring() }

// KickReceive makes the port ask again whether there is room. Any goroutine may call it.
func (p *Port) KickReceive() { p.receiveKick.ring() }

// LinkUp says whether frames flow: the cable is plugged in and its link works.
func (p *Port) LinkUp() bool { return p.carrier.Load() }

// SetLink plugs the cable in or pulls it out. While it is out, frames are dropped both ways.
func (p *Port) SetLink(up bool) {
	p.changeCarrier(func() { p.plugged = up })
}

func (p *Port) linkFailed(err error) {
	first := false
	p.changeCarrier(func() { first, p.failed = !p.failed, true })
	if first {
		p.log.Error("network link failed; the guest sees its cable unplugged", "card", p.cfg.Name, "error", err)
	}
}

// changeCarrier makes a change that may bear on the carrier, and tells the card when it does.
func (p *Port) changeCarrier(change func()) {
	p.mu.Lock()
	change()
	up := p.plugged && !p.failed
	changed := p.carrier.Swap(up) != up
	p.mu.Unlock()
	if changed {
		p.card.LinkChanged()
	}
}

// Start sets the workers to work; it is idempotent.
func (p *Port) Start() {
	p.life.Lock()
	defer p.life.Unlock()
	if p.started {
		return
	}
	p.started = true
	_ = p.cfg.Link.SetReadDeadline(time.Time{}) // a closed link says so when it is read
	// Checksums that are still open are finished here, so that each is counted once and none twice.
	if err := p.cfg.Link.SetGuestOffloads(network.OffloadChecksum); err != nil {
		p.log.Warn("network link refused the card's offloads", "card", p.cfg.Name, "error", err)
	}
	wake := func() {
		_ = p.cfg.Link.SetReadDeadline(time.Unix(1, 0)) // a link that cannot is closed, and so does not read
		p.receiveKick.event.Signal()
	}
	p.workers.Go("transmitter", p.transmitKick.event.Signal, p.transmit, p.linkFailed)
	p.workers.Go("receiver", wake, p.receive, p.linkFailed)
}

// Stop returns when no worker touches the card or the guest any more; it is idempotent. A frame that waits for room goes on waiting.
func (p *Port) Stop() {
	p.life.Lock()
	defer p.life.Unlock()
	if !p.started {
		return
	}
	p.workers.Stop()
	p.started = false
}

// Close stops the workers and gives the doorbells back.
func (p *Port) Close() error {
	p.Stop()
	var errs []error
	for _, b := range []*doorbell{&p.transmitKick, &p.receiveKick} {
		if b.event != nil {
			errs = append(errs, b.event.Close())
		}
	}
	return errors.Join(errs...)
}

func (p *Port) transmit() error {
	waiter := throttle.NewWaiter(nil, p.transmitKick.event.Signal)
	defer waiter.Stop()
	batch := func() bool {
		sent := 0
		for sent < transmitBatch && !p.workers.Stopping() && waiter.Pass(p.cfg.Out) && p.card.Transmit() {
			sent++
		}
		if sent > 0 {
			p.card.Flush()
		}
		return sent > 0 || p.workers.Stopping()
	}
	for !p.workers.Stopping() {
		if batch() {
			continue
		}
		if err := p.transmitKick.sleep(batch); err != nil {
			return err
		}
	}
	return nil
}

func (p *Port) receive() error {
	waiter := throttle.NewWaiter(nil, p.receiveKick.event.Signal)
	defer waiter.Stop()
	again := clock.Host.NewTimer(p.receiveKick.event.Signal)
	defer again.Stop()
	placed := func() bool { // the frame that was held is no more
		if p.held {
			p.held = !p.card.Receive(&p.frame)
		}
		return !p.held
	}
	room := func() bool { return p.workers.Stopping() || placed() && p.card.Room() }
	for !p.workers.Stopping() {
		if !room() {
			if p.cfg.Poll > 0 {
				again.Reset(p.cfg.Poll)
			}
			if err := p.receiveKick.sleep(room); err != nil {
				return err
			}
			continue
		}
		if p.workers.Stopping() {
			return nil
		}
		if !waiter.Pass(p.cfg.In) {
			if err := p.receiveKick.event.Wait(); err != nil {
				return err
			}
			continue
		}
		n, err := p.cfg.Link.ReadFrame(p.space)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case err != nil:
			return err
		case n > network.HeaderLen+MaxReceive:
			return fmt.Errorf("link delivered %d bytes into %d", n, network.HeaderLen+MaxReceive)
		case n < network.HeaderLen+network.EthernetHeaderLen || !p.carrier.Load():
			p.stats.receiveDropped.Add(1)
			continue
		}
		n -= network.HeaderLen
		p.cfg.In.Pay(1, int64(n))
		h := network.DecodeHeader(p.header[:])
		if !p.frame.set(n, &h) {
			p.stats.receiveDropped.Add(1)
			continue
		}
		p.held = true
		placed()
	}
	return nil
}
