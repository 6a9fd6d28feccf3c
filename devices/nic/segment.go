package nic

import (
	"encoding/binary"

	"github.com/sharevm/vmm/network"
)

// layers is where the headers of a TCP segment are.
type layers struct {
	ip, tcp, payload int
	v6               bool
}

// find reads the headers of a frame that is to be cut, as far as the driver's word for them is right.
func (o *Offload) find(head []byte) (l layers, ok bool) {
	l = layers{ip: network.EthernetHeaderLen, tcp: o.SumStart, payload: o.HeaderLen}
	if l.payload > len(head) || len(head) < network.EthernetHeaderLen+ipv4Header+tcpHeader {
		return l, false
	}
	kind := binary.BigEndian.Uint16(head[addressesLen:])
	if kind == etherVLAN {
		l.ip += vlanTagLen
		kind = binary.BigEndian.Uint16(head[addressesLen+vlanTagLen:])
	}
	least := ipv4Header
	if kind == etherIPv6 {
		l.v6, least = true, ipv6Header
	} else if kind != etherIPv4 {
		return l, false
	}
	if l.tcp == 0 {
		if l.tcp = l.ip + ipv6Header; !l.v6 {
			l.tcp = l.ip + int(head[l.ip]&15)*4
		}
	}
	if l.tcp < l.ip+least || l.payload < l.tcp+tcpHeader {
		return l, false
	}
	if !l.v6 && (head[l.ip]>>4 != 4 || l.ip+int(head[l.ip]&15)*4 != l.tcp || head[l.ip+9] != protoTCP) {
		return l, false
	}
	return l, true
}

// finish writes lengths, the checksum of an IPv4 header and the sum of the pseudo header for a frame of n bytes.
func (l layers) finish(head []byte, n int) {
	ip := head[l.ip:]
	var sum uint64
	if l.v6 {
		binary.BigEndian.PutUint16(ip[4:], uint16(n-l.ip-ipv6Header))
		sum = network.SumBytes(0, ip[8:40])
	} else {
		binary.BigEndian.PutUint16(ip[2:], uint16(n-l.ip))
		span{l.ip, l.tcp, l.ip + 10}.insert(head, true)
		sum = network.SumBytes(0, ip[12:20])
	}
	sum += protoTCP + uint64(n-l.tcp)
	binary.BigEndian.PutUint16(head[l.tcp+16:], network.Fold(sum))
}

// segment sends a frame that is to be cut into TCP segments, uncut where the link takes it.
func (p *Port) segment(frame [][]byte, n int, o *Offload) bool {
	head := p.head[network.HeaderLen+vlanTagLen:]
	head = head[:p.take(frame, head)]
	l, ok := o.find(head)
	if !ok || o.Segment < minSegment || n-l.ip > 0xffff {
		return false
	}
	h := network.Header{Flags: network.FlagNeedsChecksum, CsumStart: uint16(l.tcp), CsumOffset: 16}
	need := network.OffloadChecksum
	if n-l.payload > o.Segment {
		h.GSOType, h.GSOSize, h.HdrLen = network.GSOTCPv4, uint16(min(o.Segment, 0xffff)), uint16(l.payload)
		need |= network.OffloadTSO4
		if l.v6 {
			h.GSOType = network.GSOTCPv6
			need = network.OffloadChecksum | network.OffloadTSO6
		}
		if head[l.tcp+13]&tcpCWR != 0 {
			h.GSOType |= network.GSOECN
			need |= network.OffloadECN
		}
	}
	if p.offloads&need == need {
		l.finish(head, n)
		return p.emit(head, h, o)
	}
	return p.cut(frame, n, l, o)
}

// cut makes the segments here (as RFC 9293 has a sender do it) and sends them one by one.
func (p *Port) cut(frame [][]byte, n int, l layers, o *Offload) bool {
	// The frame is copied to the back of the buffer; each segment's headers are put in front of its payload, over one that has been sent.
	space := p.whole()[network.HeaderLen+vlanTagLen:]
	all := space[:p.take(frame, space)]
	if len(all) < l.payload {
		return false
	}
	var first [headMax]byte
	headers := first[:copy(first[:], all[:l.payload])]
	sequence := binary.BigEndian.Uint32(headers[l.tcp+4:])
	identity := binary.BigEndian.Uint16(headers[l.ip+4:])
	flags := headers[l.tcp+13]
	sent := true
	for at, i := l.payload, uint16(0); at < n || i == 0; i++ {
		size := min(o.Segment, n-at)
		part := p.head[network.HeaderLen+vlanTagLen:][:l.payload]
		copy(part, headers)
		binary.BigEndian.PutUint32(part[l.tcp+4:], sequence+uint32(at-l.payload))
		part[l.tcp+13] = flags
		if at+size < n {
			part[l.tcp+13] &^= tcpFIN | tcpPSH
		}
		if i > 0 {
			part[l.tcp+13] &^= tcpCWR
		}
		if !l.v6 {
			binary.BigEndian.PutUint16(part[l.ip+4:], identity+i)
		}
		l.finish(part, l.payload+size)
		payload := all[at:][:size]
		sum := network.SumBytes(0, part[l.tcp:])
		if len(part[l.tcp:])%2 != 0 { // an odd header cannot be: its length counts in words
			return false
		}
		binary.BigEndian.PutUint16(part[l.tcp+16:], ^network.Fold(network.SumBytes(sum, payload)))
		p.bufs = append(p.bufs[:0], nil, payload)
		sent = p.emit(part, network.Header{}, o) && sent
		at += size
	}
	return sent
}
