package nic

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/sharevm/vmm/network"
)

const (
	crcLen   = 4
	minFrame = 60 // bytes without CRC, which a shorter frame is padded to
)

// Frame is a frame from the link, with what a card says of it to its driver.
type Frame struct {
	// Bytes are the Ethernet frame, without CRC, padded to the 60 bytes that a driver expects.
	Bytes []byte

	V4, V6   bool // the network layer that follows, behind at most one VLAN tag
	TCP, UDP bool // the transport layer; false in fragments
	Fragment bool
	NoSum    bool // UDP without a checksum
	// IPGood: the IPv4 header's checksum is right. SumGood: that of TCP or UDP is; false also where there is none to check.
	IPGood, SumGood bool
	// Network, Transport and Payload are where the headers start and end, 0 where there is none of the kind.
	Network, Transport, Payload int

	buf []byte // with room for the CRC
}

// set takes the frame of n bytes that lies in buf and the header that came with it. It returns false for one that cannot be.
func (f *Frame) set(n int, h *network.Header) bool {
	data := f.buf[:n]
	trusted := h.Flags&(network.FlagNeedsChecksum|network.FlagDataValid) != 0
	if network.CompleteChecksum(data, h) != nil {
		return false
	}
	*f = Frame{buf: f.buf}
	f.parse(data)
	f.judge(data, trusted)
	for len(data) < minFrame {
		data = append(data, 0)
	}
	f.Bytes = data
	return true
}

// parse finds the headers.
func (f *Frame) parse(b []byte) {
	at := network.EthernetHeaderLen
	kind := binary.BigEndian.Uint16(b[addressesLen:])
	if kind == etherVLAN && len(b) >= at+vlanTagLen {
		kind = binary.BigEndian.Uint16(b[at+2:])
		at += vlanTagLen
	}
	ip := b[at:]
	var proto uint8
	switch {
	case kind == etherIPv4 && len(ip) >= ipv4Header && ip[0]>>4 == 4 && ip[0]&15 >= 5 && len(ip) >= int(ip[0]&15)*4:
		f.V4, f.Network, f.Transport = true, at, at+int(ip[0]&15)*4
		f.Fragment = binary.BigEndian.Uint16(ip[6:])&0x3fff != 0
		proto = ip[9]
	case kind == etherIPv6 && len(ip) >= ipv6Header && ip[0]>>4 == 6:
		f.V6, f.Network, f.Transport = true, at, at+ipv6Header
		proto = ip[6]
	default:
		return
	}
	f.Payload = f.Transport
	if f.Fragment {
		return
	}
	switch rest := b[f.Transport:]; {
	case proto == protoTCP && len(rest) >= tcpHeader && int(rest[12]>>4)*4 <= len(rest) && rest[12]>>4 >= 5:
		f.TCP, f.Payload = true, f.Transport+int(rest[12]>>4)*4
	case proto == protoUDP && len(rest) >= udpHeader:
		f.UDP, f.Payload = true, f.Transport+udpHeader
	}
}

// judge looks at the checksums; trusted says that the transport's is known to be right.
func (f *Frame) judge(b []byte, trusted bool) {
	if f.V4 {
		f.IPGood = network.Fold(network.SumBytes(0, b[f.Network:f.Transport])) == 0xffff
	}
	if !f.TCP && !f.UDP || f.V4 && !f.IPGood {
		return
	}
	if f.UDP && b[f.Transport+6]|b[f.Transport+7] == 0 {
		f.NoSum = true
		return
	}
	f.SumGood = trusted || f.transportSum(b)
}

// transportSum verifies the checksum of TCP or UDP.
func (f *Frame) transportSum(b []byte) bool {
	ip := b[f.Network:]
	end := f.Network + ipv6Header + int(binary.BigEndian.Uint16(ip[4:]))
	addresses, proto := ip[8:], uint64(ip[6])
	if f.V4 {
		end = f.Network + int(binary.BigEndian.Uint16(ip[2:]))
		addresses, proto = ip[12:20], uint64(ip[9])
	} else {
		addresses = addresses[:32]
	}
	if end > len(b) || end < f.Payload {
		return false
	}
	sum := network.SumBytes(0, addresses) + proto + uint64(end-f.Transport)
	return network.Fold(network.SumBytes(sum, b[f.Transport:end])) == 0xffff
}

// Destination is the address that the frame is for.
func (f *Frame) Destination() [6]byte { return [6]byte(f.Bytes) }

// Multicast says whether it is for several stations, all of them included; Broadcast whether it is for all.
func (f *Frame) Multicast() bool { return f.Bytes[0]&1 != 0 }

// Broadcast says whether the frame is for all stations.
func (f *Frame) Broadcast() bool {
	return f.Destination() == [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
}

// VLAN returns the tag of a frame that has one of the given type.
func (f *Frame) VLAN(kind uint16) (tag uint16, ok bool) {
	if binary.BigEndian.Uint16(f.Bytes[addressesLen:]) != kind {
		return 0, false
	}
	return binary.BigEndian.Uint16(f.Bytes[addressesLen+2:]), true
}

// Pieces returns the bytes that a card stores: of a frame whose tag is stripped, what is before and after the tag; with sum, the CRC behind.
func (f *Frame) Pieces(strip, sum bool) (front, back []byte) {
	front, back = f.Bytes[:addressesLen], f.Bytes[addressesLen:]
	if strip {
		back = back[vlanTagLen:]
	}
	if sum {
		// Over what is stored, so that a driver which checks finds it right.
		c := crc32.Update(crc32.ChecksumIEEE(front), crc32.IEEETable, back)
		back = binary.LittleEndian.AppendUint32(back, c)
	}
	return front, back
}
