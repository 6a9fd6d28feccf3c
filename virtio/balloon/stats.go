package balloon

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/queue"
)

// Stats is what a guest says about its memory (section 5.5.6.4), in bytes but for the counts of faults. It need not be true, and what
// the guest does not tell is 0.
type Stats struct {
	SwapIn      uint64 `json:"swapIn"`      // read from swap since the guest's start
	SwapOut     uint64 `json:"swapOut"`     // written to swap since then
	MajorFaults uint64 `json:"majorFaults"` // that went to a disk
	MinorFaults uint64 `json:"minorFaults"`
	Free        uint64 `json:"free"`      // not used for anything
	Total       uint64 `json:"total"`     // at the guest system's disposal
	Available   uint64 `json:"available"` // for new programs without swapping
	Caches      uint64 `json:"caches"`    // of disks; can be dropped
}

// set stores a value by its tag.
func (s *Stats) set(tag uint16, v uint64) {
	fields := [...]*uint64{&s.SwapIn, &s.SwapOut, &s.MajorFaults, &s.MinorFaults, &s.Free, &s.Total, &s.Available, &s.Caches}
	if int(tag) < len(fields) {
		*fields[tag] = v
	}
}

const (
	statSize = 10 // a tag of 16 bits, and a value of 64
	// maxStats bounds what is read of one buffer: drivers send each of a dozen tags once.
	maxStats = 64
)

// collector holds the driver's statistics buffer: its return is the request for new ones.
type collector struct {
	chain queue.Chain

	mu     sync.Mutex // guards the following
	kick   func()     // nil while the driver has no statistics queue
	wanted bool
	stats  Stats
	at     time.Time
}

func (c *collector) request() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kick != nil {
		c.wanted = true
		c.kick()
	}
}

func (c *collector) last() (Stats, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats, c.at
}

// forget is for a device that is reset.
func (c *collector) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kick, c.wanted, c.stats, c.at = nil, false, Stats{}, time.Time{}
}

// start serves the queue. A buffer that is held when the worker ends is given back to the queue, and read again by the next one.
func (c *collector) start(w *virtio.Workers, a *virtio.Activation, q *queue.Queue) {
	c.mu.Lock()
	c.kick = q.Kick.Signal
	c.mu.Unlock()
	w.Go(a, "statistics", q.Kick.Signal, func() error {
		held := 0 // buffers; drivers have one, and a second one stays in its queue
		defer func() { q.Unpop(held) }()
		for !w.Stopping() {
			switch {
			case held == 0:
				more, err := q.Pop(&c.chain)
				if err != nil {
					return err
				}
				if more {
					c.read()
					held = 1
					continue
				}
				if q.EnableNotifications() || w.Stopping() {
					continue
				}
			case c.takeRequest():
				held = 0
				q.Push(c.chain.Head, 0)
				q.Publish()
				continue
			}
			if err := q.Kick.Wait(); err != nil {
				return err
			}
		}
		return nil
	})
}

// read takes what the buffer says.
func (c *collector) read() {
	var s Stats
	var b [statSize]byte
	for range maxStats {
		if c.chain.CopyIn(b[:]) < statSize {
			break
		}
		s.set(binary.LittleEndian.Uint16(b[:]), binary.LittleEndian.Uint64(b[2:]))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats, c.at = s, time.Now()
}

func (c *collector) takeRequest() (wanted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted, c.wanted = c.wanted, false
	return wanted
}
