package nic

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/network"
)

// Offload says what a driver leaves to its card for one frame. Places count in bytes from the first byte of the frame, and all come from
// the guest: none is believed. The zero value leaves nothing.
type Offload struct {
	InsertTag bool // put a VLAN tag behind the addresses
	Tag       uint16

	// Insert the checksum of the IPv4 header from IPStart up to IPEnd (0: the end of the frame) at IPAt.
	IPSum                bool
	IPStart, IPAt, IPEnd int

	// Insert the checksum of SumStart up to SumEnd (0: the end of the frame) at SumAt, where the sum of the pseudo header is.
	Sum                     bool
	SumStart, SumAt, SumEnd int

	// Segment is the payload of one TCP segment in bytes, 0 for frames that are not to be cut. SumStart is then where the TCP header starts,
	// 0 for right behind the IP header, and HeaderLen the length of all headers. The lengths and sums that the driver left in the headers do not count.
	Segment   int
	HeaderLen int
}

const (
	// headMax is how much of a frame is copied so that its headers can be changed, the guest's memory being the guest's.
	headMax = 256
	// minSegment is the smallest payload of segments that frames are cut into: it bounds what a guest can make of one frame.
	minSegment = 32

	vlanTagLen   = 4
	addressesLen = 12
	etherVLAN    = 0x8100
	etherIPv4    = 0x0800
	etherIPv6    = 0x86dd
	protoTCP     = 6
	protoUDP     = 17
	ipv4Header   = 20
	ipv6Header   = 40
	tcpHeader    = 20
	udpHeader    = 8
	tcpFIN       = 0x01
	tcpPSH       = 0x08
	tcpCWR       = 0x80
)

// Send puts a frame of the guest on the link, or drops it when it cannot be one. frame is guest memory and valid during the call. It is
// for Card.Transmit only.
func (p *Port) Send(frame [][]byte, o *Offload) {
	n := network.Len(frame)
	p.cfg.Out.Pay(1, int64(n))
	if n < network.EthernetHeaderLen || n > network.MaxFrame-network.HeaderLen || !p.carrier.Load() || !p.offload(frame, n, o) {
		p.stats.sendDropped.Add(1)
	}
}

// offload chooses the cheapest way: the frame as it lies, its headers changed in a copy, or a copy of all of it.
func (p *Port) offload(frame [][]byte, n int, o *Offload) bool {
	switch {
	case !o.InsertTag && !o.IPSum && o.Segment == 0 && (!o.Sum || p.leaves(o, n)):
		h := network.Header{}
		if o.Sum {
			h.Flags, h.CsumStart, h.CsumOffset = network.FlagNeedsChecksum, uint16(o.SumStart), uint16(o.SumAt-o.SumStart)
		}
		h.Encode(p.head[:])
		p.bufs = append(append(p.bufs[:0], p.head[:network.HeaderLen]), frame...)
		return p.write()
	case o.Segment != 0:
		return p.segment(frame, n, o)
	}
	return p.patch(frame, n, o)
}

// leaves says whether the link takes the checksum that o asks for, in a frame of n bytes.
func (p *Port) leaves(o *Offload, n int) bool {
	return p.offloads&network.OffloadChecksum != 0 && o.SumStart >= network.EthernetHeaderLen && o.SumAt >= o.SumStart && o.SumAt+2 <= n &&
		(o.SumEnd == 0 || o.SumEnd >= n)
}

// write gives bufs to the link.
func (p *Port) write() bool {
	if err := p.cfg.Link.WriteFrame(p.bufs); err != nil {
		p.linkFailed(fmt.Errorf("transmit: %w", err))
		return false
	}
	p.stats.sent.Add(1)
	return true
}

// take copies the first bytes of a frame, as many as fit to, and leaves the rest of it in bufs behind the place of the header.
func (p *Port) take(frame [][]byte, to []byte) int {
	p.bufs = append(p.bufs[:0], nil)
	copied := 0
	for _, b := range frame {
		c := copy(to[copied:], b)
		copied += c
		if c < len(b) {
			p.bufs = append(p.bufs, b[c:])
		}
	}
	return copied
}

// patch inserts tag and checksums into a frame that is not to be cut.
func (p *Port) patch(frame [][]byte, n int, o *Offload) bool {
	room := p.head[network.HeaderLen+vlanTagLen:]
	ip := span{o.IPStart, o.IPEnd, o.IPAt}
	leave := o.Sum && p.leaves(o, n)
	if o.Sum && !leave || o.IPSum && (o.IPEnd == 0 || o.IPEnd > len(room) || o.IPAt+2 > len(room)) {
		room = p.whole()[network.HeaderLen+vlanTagLen:]
	}
	head := room[:p.take(frame, room)]
	h := network.Header{}
	switch {
	case leave:
		h.Flags, h.CsumStart, h.CsumOffset = network.FlagNeedsChecksum, uint16(o.SumStart), uint16(o.SumAt-o.SumStart)
	case o.Sum:
		if s := (span{o.SumStart, o.SumEnd, o.SumAt}); !s.insert(head, false) {
			return false
		}
	}
	if o.IPSum && !ip.insert(head, true) {
		return false
	}
	return p.emit(head, h, o)
}

// emit sends head, which lies in head or flat behind room for header and tag, and what take has left.
func (p *Port) emit(head []byte, h network.Header, o *Offload) bool {
	space := p.head[:]
	if &head[0] != &p.head[network.HeaderLen+vlanTagLen] {
		space = p.flat
	}
	start := vlanTagLen
	if o.InsertTag {
		start = 0
		copy(space[network.HeaderLen:], head[:addressesLen])
		binary.BigEndian.PutUint16(space[network.HeaderLen+addressesLen:], etherVLAN)
		binary.BigEndian.PutUint16(space[network.HeaderLen+addressesLen+2:], o.Tag)
		if h.Flags&network.FlagNeedsChecksum != 0 {
			h.CsumStart += vlanTagLen
		}
		if h.GSOType != network.GSONone {
			h.HdrLen += vlanTagLen
		}
	}
	h.Encode(space[start:])
	p.bufs[0] = space[start : network.HeaderLen+vlanTagLen+len(head)]
	return p.write()
}

// whole returns the buffer for a frame in one piece.
func (p *Port) whole() []byte {
	if p.flat == nil {
		p.flat = make([]byte, vlanTagLen+network.MaxFrame)
	}
	return p.flat
}

// span is a checksum to insert: of the bytes from start up to end (0: all), stored at at.
type span struct{ start, end, at int }

// insert does it, and says whether the places are inside b. fresh sums as if the field were zero; else the field is part of the sum.
func (s span) insert(b []byte, fresh bool) bool {
	end := s.end
	if end == 0 || end > len(b) {
		end = len(b)
	}
	if s.start < network.EthernetHeaderLen || s.start > end || s.at < network.EthernetHeaderLen || s.at+2 > len(b) {
		return false
	}
	field := b[s.at:][:2]
	if fresh {
		field[0], field[1] = 0, 0
	}
	sum := ^network.Fold(network.SumBytes(0, b[s.start:end]))
	if sum == 0 && !fresh { // UDP reads a zero as "no checksum"; to TCP both forms are equal
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(field, sum)
	return true
}
