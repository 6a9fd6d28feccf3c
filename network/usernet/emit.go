package usernet

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/sharevm/vmm/network"
)

// maxHeaders is the most that the Ethernet, IPv4 or IPv6, and TCP headers of a packet of netstack's come to.
const maxHeaders = header.EthernetMinimumSize + header.IPv4MaximumHeaderSize + header.TCPHeaderMaximumSize

// emitter turns packets of netstack into frames for the guest: whole where the guest can finish checksums and cut segments
// itself, else cut and summed here, one frame a call. It belongs to the one ReadFrame that is running.
type emitter struct {
	pkt *stack.PacketBuffer // being cut; nil between packets

	headers [maxHeaders]byte // of pkt, as netstack made them
	hlen    int
	l3, l4  int // offsets of the network and the TCP header
	mss     int
	done    int // payload bytes that have left
	size    int // payload bytes in all
	view    *buffer.View
	viewPos int // bytes of view that have left
}

// whole writes a packet as one frame. guest are the offloads that the guest has taken.
func whole(pkt *stack.PacketBuffer, guest network.Offloads, bufs [][]byte) int {
	h := network.Header{NumBuffers: 1}
	switch gso := pkt.GSOOptions; {
	case gso.Type != stack.GSONone && gso.NeedsCsum:
		h.Flags = network.FlagNeedsChecksum
		h.CsumStart = header.EthernetMinimumSize + uint16(len(pkt.NetworkHeader().Slice()))
		h.CsumOffset = gso.CsumOffset
		if pkt.Data().Size() > int(gso.MSS) {
			h.GSOType, _ = segmentation(gso.Type)
			h.GSOSize = gso.MSS
			h.HdrLen = uint16(pkt.HeaderSize())
		}
	case guest&network.OffloadChecksum != 0:
		h.Flags = network.FlagDataValid
	}
	var head [network.HeaderLen]byte
	h.Encode(head[:])
	out := network.ScatterTo(bufs)
	n := out.Write(head[:])
	views, skip := pkt.AsViewList()
	for v := views.Front(); v != nil; v = v.Next() {
		b := v.AsSlice()
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		n += out.Write(b[skip:])
		skip = 0
	}
	return n
}

// fits says whether the guest can take a packet as it is, in bufs of room bytes.
func fits(pkt *stack.PacketBuffer, guest network.Offloads, room int) bool {
	if network.HeaderLen+pkt.Size() > room {
		return false
	}
	gso := pkt.GSOOptions
	if gso.Type == stack.GSONone || !gso.NeedsCsum {
		return true
	}
	if guest&network.OffloadChecksum == 0 {
		return false
	}
	_, need := segmentation(gso.Type)
	return pkt.Data().Size() <= int(gso.MSS) || guest&need != 0
}

func segmentation(t stack.GSOType) (kind uint8, need network.Offloads) {
	if t == stack.GSOTCPv6 {
		return network.GSOTCPv6, network.OffloadTSO6
	}
	return network.GSOTCPv4, network.OffloadTSO4
}

// cut begins to cut a TCP packet, whose reference it takes over. It returns false, and releases the packet, when the
// packet is not one that can be cut.
func (e *emitter) cut(pkt *stack.PacketBuffer) bool {
	gso := pkt.GSOOptions
	e.hlen, e.size, e.mss = pkt.HeaderSize(), pkt.Data().Size(), int(gso.MSS)
	e.l3 = header.EthernetMinimumSize
	e.l4 = e.l3 + len(pkt.NetworkHeader().Slice())
	if gso.Type == stack.GSONone || !gso.NeedsCsum || e.mss == 0 || e.hlen > maxHeaders || e.hlen < e.l4+header.TCPMinimumSize {
		pkt.DecRef()
		return false
	}
	e.pkt, e.done = pkt, 0
	views, skip := pkt.AsViewList()
	e.view, e.viewPos = views.Front(), skip
	e.take(e.hlen, func(b []byte, at int) { copy(e.headers[at:], b) })
	return true
}

// take hands the next n bytes of the packet to f, piece by piece with the offset of each.
func (e *emitter) take(n int, f func(b []byte, at int)) {
	for at := 0; at < n && e.view != nil; {
		b := e.view.AsSlice()
		if e.viewPos >= len(b) {
			e.viewPos -= len(b)
			e.view = e.view.Next()
			continue
		}
		b = b[e.viewPos:min(len(b), e.viewPos+n-at)]
		f(b, at)
		at += len(b)
		e.viewPos += len(b)
	}
}

// next writes the next segment as one frame, and releases the packet after its last. It returns 0, and gives the rest
// of the packet up, when bufs are too small.
func (e *emitter) next(bufs [][]byte, room int) int {
	n := min(e.mss, e.size-e.done)
	if network.HeaderLen+e.hlen+n > room {
		e.release()
		return 0
	}
	headers := e.headers // a copy: the next segment starts from what netstack made
	frame := headers[:e.hlen]
	e.number(frame, n)

	var payload checksum.Checksumer
	out := network.ScatterTo(bufs)
	var head [network.HeaderLen]byte
	network.Header{NumBuffers: 1}.Encode(head[:])
	out.Write(head[:])
	rest := out // the headers go in last, when the payload has been summed
	out.Skip(e.hlen)
	e.take(n, func(b []byte, _ int) {
		payload.Add(b)
		out.Write(b)
	})
	e.sum(frame, n, payload.Checksum())
	rest.Write(frame)

	e.done += n
	if e.done == e.size {
		e.release()
	}
	return network.HeaderLen + len(frame) + n
}

// number sets the fields that differ from segment to segment.
func (e *emitter) number(frame []byte, n int) {
	tcp := header.TCP(frame[e.l4:])
	first, last := e.done == 0, e.done+n == e.size
	tcp.SetSequenceNumber(tcp.SequenceNumber() + uint32(e.done))
	flags := tcp.Flags()
	if !last {
		flags &^= header.TCPFlagFin | header.TCPFlagPsh
	}
	if !first {
		flags &^= tcpFlagCWR
	}
	tcp.SetFlags(uint8(flags))
	if e.pkt.GSOOptions.Type == stack.GSOTCPv6 {
		header.IPv6(frame[e.l3:]).SetPayloadLength(uint16(len(frame) - e.l3 - header.IPv6MinimumSize + n))
		return
	}
	ip := header.IPv4(frame[e.l3:e.l4])
	ip.SetTotalLength(uint16(len(frame) - e.l3 + n))
	ip.SetID(ip.ID() + uint16(e.done/e.mss))
	ip.SetChecksum(0)
	ip.SetChecksum(^ip.CalculateChecksum())
}

// sum sets the TCP checksum of a segment whose n payload bytes sum to payload.
func (e *emitter) sum(frame []byte, n int, payload uint16) {
	tcp := header.TCP(frame[e.l4:])
	addresses := frame[e.l3+12 : e.l3+20]
	if e.pkt.GSOOptions.Type == stack.GSOTCPv6 {
		addresses = frame[e.l3+8 : e.l3+40]
	}
	var length [2]byte
	binary.BigEndian.PutUint16(length[:], uint16(len(tcp)+n))
	s := checksum.Checksum(addresses, uint16(header.TCPProtocolNumber))
	s = checksum.Combine(checksum.Checksum(length[:], s), payload)
	tcp.SetChecksum(0)
	tcp.SetChecksum(^checksum.Combine(s, checksum.Checksum(tcp, 0)))
}

// release drops the packet.
func (e *emitter) release() {
	if e.pkt != nil {
		e.pkt.DecRef()
		e.pkt, e.view = nil, nil
	}
}

// tcpFlagCWR is TCP's congestion-window-reduced flag (RFC 3168), which only the first segment of a packet keeps.
const tcpFlagCWR = 1 << 7
