package vmxnet3

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/devices/nic"
)

// setup is what the driver has set in the shared area, as of its last command.
type setup struct {
	features  uint64
	queues    uint64 // address of the queue descriptors
	autoMask  bool
	eventIntr int

	mtu       uint32 // 0: any
	rxMode    uint32
	addresses []byte // of the multicast filter, 6 bytes each
	vlans     [vlanTableSize]byte
	rss       rss
}

// rss spreads frames over the receive queues.
type rss struct {
	kinds nic.HashKinds
	key   [nic.HashKeySize]byte
	table []uint8 // queues, empty without RSS
}

// ring is a ring of descriptors that both sides go around. A descriptor whose generation bit is the ring's is ours.
type ring struct {
	base       uint64
	size, next uint32
	generation bool
}

// at is the address of the next descriptor.
func (r *ring) at() uint64 { return r.base + uint64(r.next)*descSize }

// advance goes to the next descriptor.
func (r *ring) advance() {
	if r.next++; r.next == r.size {
		r.next, r.generation = 0, !r.generation
	}
}

// valid says whether the ring is one that the interface allows, at most of most descriptors.
func (r *ring) valid(most uint32) bool { return r.size > 0 && r.size <= most && r.base%descSize == 0 }

type txQueue struct {
	ring, comp ring
	intr       int
	stopped    uint32 // why, 0 while it is not
	stats      [statCount]uint64
}

type rxQueue struct {
	rings   [2]ring
	comp    ring
	intr    int
	starved bool // the driver is asked to ring when it adds buffers
	stats   [statCount]uint64
}

// activate reads the shared area and starts the queues that it describes. d.mu is held.
func (d *Device) activate() error {
	d.deactivate()
	if d.address%8 != 0 {
		return fmt.Errorf("shared area at %#x", d.address)
	}
	var s [sharedSize]byte
	if err := d.mem.Read(d.address, s[:]); err != nil {
		return fmt.Errorf("shared area: %w", err)
	}
	le := binary.LittleEndian
	numTx, numRx := int(s[offTxQueues]), int(s[offRxQueues])
	switch {
	case le.Uint32(s[:]) != sharedMagic:
		return fmt.Errorf("shared area at %#x does not begin with the magic number", d.address)
	case numTx < 1 || numTx > maxTxQueues || numRx < 1 || numRx > maxRxQueues:
		return fmt.Errorf("%d queues to transmit and %d to receive", numTx, numRx)
	case int(s[offEventIntr]) >= vectors:
		return fmt.Errorf("events by interrupt %d", s[offEventIntr])
	}
	d.setup = setup{queues: le.Uint64(s[offQueueDesc:]), autoMask: s[offAutoMask] != 0, eventIntr: int(s[offEventIntr])}
	if d.setup.queues%8 != 0 {
		return fmt.Errorf("queue descriptors at %#x", d.setup.queues)
	}
	for i := range numTx + numRx {
		var q [queueDescSize]byte
		if err := d.mem.Read(d.setup.queues+uint64(i)*queueDescSize, q[:]); err != nil {
			d.deactivate()
			return fmt.Errorf("queue %d: %w", i, err)
		}
		comp := ring{base: le.Uint64(q[offComp:]), size: le.Uint32(q[offCompSize:]), generation: true}
		first := ring{base: le.Uint64(q[offRing:]), size: le.Uint32(q[offRingSize:]), generation: true}
		second := ring{base: le.Uint64(q[offRing2:]), size: le.Uint32(q[offRing2Size:]), generation: true}
		ok := first.valid(maxRing) && comp.valid(maxCompRing) && int(q[offIntr]) < vectors
		if i < numTx {
			d.tx = append(d.tx, txQueue{ring: first, comp: comp, intr: int(q[offIntr])})
		} else {
			ok = ok && (second.size == 0 || second.valid(maxRing))
			d.rx = append(d.rx, rxQueue{rings: [2]ring{first, second}, comp: comp, intr: int(q[offIntr])})
		}
		if !ok {
			d.deactivate()
			return fmt.Errorf("queue %d has rings of %d, %d and %d descriptors, and interrupt %d", i, first.size, second.size, comp.size, q[offIntr])
		}
	}
	d.active = true
	d.refresh()
	return nil
}

// refresh reads what a driver may change while the card is active. d.mu is held.
func (d *Device) refresh() {
	var s [sharedSize]byte
	if !d.active || d.mem.Read(d.address, s[:]) != nil {
		return
	}
	le := binary.LittleEndian
	c := &d.setup
	c.features = le.Uint64(s[offFeatures:])
	c.mtu = le.Uint32(s[offMTU:])
	c.rxMode = le.Uint32(s[offRxMode:])
	c.vlans = [vlanTableSize]byte(s[offVLANTable:])
	c.addresses = c.addresses[:0]
	if n := uint64(le.Uint16(s[offTableLen:])); c.rxMode&rxMulticast != 0 {
		if table, err := d.mem.Slice(le.Uint64(s[offTableAddr:]), n); err == nil {
			c.addresses = append(c.addresses, table[:n-n%6]...)
		}
	}
	c.rss = rss{}
	if c.features&featureRSS != 0 && le.Uint32(s[offRSSLen:]) >= rssConfSize {
		var conf [rssConfSize]byte
		if d.mem.Read(le.Uint64(s[offRSSAddr:]), conf[:]) == nil {
			c.rss.set(&conf, len(d.rx))
		}
	}
}

// set takes the driver's choice; an impossible one is none.
func (r *rss) set(conf *[rssConfSize]byte, queues int) {
	n := int(binary.LittleEndian.Uint16(conf[offTableSize:]))
	if n == 0 || n > rssTableMax {
		return
	}
	table := make([]uint8, n)
	for i, q := range conf[offIndexTable:][:n] {
		if int(q) >= queues {
			return
		}
		table[i] = q
	}
	r.table = table
	r.key = [nic.HashKeySize]byte(conf[offHashKey:])
	r.kinds = nic.HashKinds(conf[offHashType]) & (nic.HashIPv4 | nic.HashTCPv4 | nic.HashIPv6 | nic.HashTCPv6) // the bits are the same
}

// report writes each queue's status and statistics where the driver reads them. d.mu is held.
func (d *Device) report() {
	if !d.active {
		return
	}
	le := binary.LittleEndian
	at := d.setup.queues
	put := func(stopped uint32, stats *[statCount]uint64) {
		q, err := d.mem.Slice(at, queueDescSize)
		at += queueDescSize
		if err != nil {
			return
		}
		q[offStopped] = 0
		if stopped != 0 {
			q[offStopped] = 1
		}
		le.PutUint32(q[offError:], stopped)
		for i, v := range stats {
			le.PutUint64(q[offStats+8*i:], v)
		}
	}
	for i := range d.tx {
		put(d.tx[i].stopped, &d.tx[i].stats)
	}
	for i := range d.rx {
		put(0, &d.rx[i].stats)
	}
}

// Places in the statistics of a queue. Those of transmission and reception have the same order.
const (
	statUnicast   = 2 // packets, then bytes
	statMulticast = 4
	statBroadcast = 6
	statTxError   = 8
	statTxDiscard = 9
	statNoBuffer  = 8 // received
	statRxError   = 9
)

// count adds a frame for an address to the statistics.
func count(stats *[statCount]uint64, to []byte, n int) {
	at := statUnicast
	if to[0]&1 != 0 {
		at = statMulticast
		if [6]byte(to) == [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} {
			at = statBroadcast
		}
	}
	stats[at]++
	stats[at+1] += uint64(n)
}
