package vmxnet3

import (
	"bytes"
	"encoding/binary"

	"github.com/sharevm/vmm/devices/nic"
	"github.com/sharevm/vmm/vmm/memory/shared"
)

const (
	etherVLAN  = 0x8100
	headersMax = 14 + 4 // of a frame with a tag, not counted in the MTU
)

// Room implements nic.Card.
func (d *Device) Room() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.rx {
		if _, ok := d.head(&d.rx[i]); ok {
			d.starve(i, false)
			return true
		}
	}
	for i := range d.rx {
		d.starve(i, true)
		if _, ok := d.head(&d.rx[i]); ok { // it came in between
			return true
		}
	}
	return false
}

// starve asks the driver to ring when it adds buffers to a queue, or no longer to.
func (d *Device) starve(i int, on bool) {
	q := &d.rx[i]
	if q.starved == on {
		return
	}
	q.starved = on
	if s, err := d.mem.Slice(d.setup.queues+uint64(len(d.tx)+i)*queueDescSize, queueDescSize); err == nil {
		v := uint32(0)
		if on {
			v = 1
		}
		shared.Store32(s, offUpdateProd, v)
	}
}

// buffer is a receive descriptor that the driver has filled in.
type buffer struct {
	index  uint32
	second bool // of the second ring
	data   []byte
	none   bool // its memory is not there
}

// peek reads the next descriptor of a ring, and says whether it is ours.
func (d *Device) peek(r *ring, second bool) (b buffer, body, ok bool) {
	if r.size == 0 {
		return b, false, false
	}
	desc, err := d.mem.Slice(r.at(), descSize)
	if err != nil {
		return b, false, false
	}
	word := shared.Load32(desc, 8)
	if word&rxGen != 0 != r.generation {
		return b, false, false
	}
	b = buffer{index: r.next, second: second}
	b.data, err = d.mem.Slice(binary.LittleEndian.Uint64(desc), uint64(word&rxLen))
	b.none = err != nil || word&rxLen == 0
	return b, word&rxBody != 0, true
}

// head goes to the first ring's next buffer for the beginning of a frame, and says whether there is one.
func (d *Device) head(q *rxQueue) (buffer, bool) {
	for range q.rings[0].size {
		b, body, ok := d.peek(&q.rings[0], false)
		if !ok {
			return b, false
		}
		if !body && !b.none {
			return b, true
		}
		q.rings[0].advance()
	}
	return buffer{}, false
}

// Receive implements nic.Card.
func (d *Device) Receive(f *nic.Frame) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.active {
		return true
	}
	tag, tagged := f.VLAN(etherVLAN)
	if !d.accepts(f, tag, tagged) {
		return true
	}
	index, hash, kind := d.setup.rss.spread(f)
	q := &d.rx[index]
	if d.setup.mtu != 0 && uint64(len(f.Bytes)) > uint64(d.setup.mtu)+headersMax {
		q.stats[statRxError]++
		return true // there need not be buffers for it, ever
	}
	strip := tagged && d.setup.features&featureRxVLAN != 0
	front, back := f.Pieces(strip, false)
	length := len(front) + len(back)
	rings := q.rings
	var held [maxPieces]buffer
	pieces, room := 0, 0
	for room < length {
		b, ok := d.next(q, pieces > 0)
		if !ok || pieces == maxPieces {
			if pieces > 0 && (pieces == maxPieces || q.rings[1].size == 0) {
				q.stats[statNoBuffer]++
				return true // it never fits: the driver's buffers are too small
			}
			q.rings = rings
			d.starve(index, true)
			return false
		}
		held[pieces] = b
		pieces++
		room += len(b.data)
	}
	word3 := d.judge(f) | compRx<<compType
	word0, word2 := uint32(index)<<compQueue, uint32(0)
	if d.setup.features&featureRxCsum == 0 || word3&(compTCP|compUDP) == 0 {
		word0 |= compNoSums
	}
	word0 |= hashTypes(kind) << compHash
	if strip {
		word2 = compTag | uint32(tag)<<16
	}
	for i, b := range held[:pieces] {
		n := copy(b.data, front)
		front = front[n:]
		k := copy(b.data[n:], back)
		back, n = back[k:], n+k
		w0 := word0 | b.index
		if b.second {
			w0 += uint32(len(d.rx)) << compQueue
		}
		if i == 0 {
			w0 |= compSOP
		}
		if i == pieces-1 {
			w0 |= compEOP
		}
		if comp, err := d.mem.Slice(q.comp.at(), descSize); err == nil {
			shared.Store32(comp, 0, w0)
			shared.Store32(comp, 4, hash)
			shared.Store32(comp, 8, word2|uint32(n))
			shared.Store32(comp, 12, word3|generationBit(q.comp.generation))
		}
		q.comp.advance()
	}
	count(&q.stats, f.Bytes, length)
	d.fire(q.intr)
	return true
}

// next takes a buffer for the beginning of a frame or for more of it, which may be of either ring.
func (d *Device) next(q *rxQueue, more bool) (buffer, bool) {
	if !more {
		b, ok := d.head(q)
		if ok {
			q.rings[0].advance()
		}
		return b, ok
	}
	for i := range q.rings {
		if b, body, ok := d.peek(&q.rings[i], i == 1); ok && (body || i == 1) && !b.none {
			q.rings[i].advance()
			return b, true
		}
	}
	return buffer{}, false
}

// accepts applies the receive filters.
func (d *Device) accepts(f *nic.Frame, tag uint16, tagged bool) bool {
	c := &d.setup
	if c.rxMode&rxPromisc != 0 {
		return true
	}
	if id := tag & 0xfff; tagged && c.vlans[id/8]>>(id%8)&1 == 0 {
		return false
	}
	to := f.Destination()
	switch {
	case f.Broadcast():
		return c.rxMode&rxBroadcast != 0
	case f.Multicast():
		return c.rxMode&rxAllMulti != 0 || c.rxMode&rxMulticast != 0 && c.listed(to)
	}
	return c.rxMode&rxUnicast != 0 && to == d.mac
}

// listed says whether an address is in the multicast filter.
func (c *setup) listed(to [6]byte) bool {
	for at := 0; at+6 <= len(c.addresses); at += 6 {
		if bytes.Equal(c.addresses[at:at+6], to[:]) {
			return true
		}
	}
	return false
}

// spread chooses the queue of a frame by its hash.
func (r *rss) spread(f *nic.Frame) (queue int, hash uint32, kind nic.HashKinds) {
	if len(r.table) == 0 {
		return 0, 0, 0
	}
	if hash, kind = f.Hash(&r.key, r.kinds); kind == 0 {
		return 0, 0, 0
	}
	return int(r.table[hash%uint32(len(r.table))]), hash, kind
}

// hashTypes is rssType of a receive completion.
func hashTypes(k nic.HashKinds) uint32 {
	switch k {
	case nic.HashIPv4:
		return 1
	case nic.HashTCPv4:
		return 2
	case nic.HashIPv6:
		return 3
	case nic.HashTCPv6:
		return 4
	}
	return 0
}

// judge is what a completion says of a frame's headers and checksums.
func (d *Device) judge(f *nic.Frame) uint32 {
	bits := uint32(compCRC)
	for _, b := range []struct {
		is  bool
		bit uint32
	}{
		{f.V4, compV4}, {f.V6, compV6}, {f.TCP, compTCP}, {f.UDP && !f.NoSum, compUDP}, {f.Fragment, compFrag},
		{f.IPGood && f.SumGood, compIPOK}, {f.SumGood, compSumOK},
	} {
		if b.is {
			bits |= b.bit
		}
	}
	return bits
}
