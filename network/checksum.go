package network

import (
	"encoding/binary"
	"fmt"
)

// The transport protocols whose checksums are known here.
const (
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// EtherTypes of the network layers whose checksums are known here.
const (
	etherTypeIPv4 = 0x0800
	etherTypeIPv6 = 0x86dd
)

// CompleteChecksum finishes in place the checksum that h leaves open in an Ethernet frame, and clears the flag in h.
// It does nothing to a header without FlagNeedsChecksum. It errs with ErrHeader when the place is outside the frame.
func CompleteChecksum(frame []byte, h *Header) error {
	if h.Flags&FlagNeedsChecksum == 0 {
		return nil
	}
	start, at := int(h.CsumStart), int(h.CsumStart)+int(h.CsumOffset)
	if start < EthernetHeaderLen || at+2 > len(frame) {
		return fmt.Errorf("%w: checksum at %d+%d in a frame of %d bytes", ErrHeader, h.CsumStart, h.CsumOffset, len(frame))
	}
	// The field holds the sum of the pseudo header, so that it belongs to what is summed. A sum of zero is sent as
	// its other form: UDP reads a zero as "no checksum", and to TCP both forms are equal.
	sum := ^Fold(SumBytes(0, frame[start:]))
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(frame[at:], sum)
	h.Flags &^= FlagNeedsChecksum
	return nil
}

// ValidChecksums says whether the IPv4 header checksum and the TCP or UDP checksum of an Ethernet frame are right. What
// it cannot judge (another protocol, a fragment, a frame too short for what it says it is) it calls valid: the
// network stack behind judges those.
func ValidChecksums(frame []byte) bool {
	if len(frame) < EthernetHeaderLen {
		return true
	}
	packet := frame[EthernetHeaderLen:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeIPv4:
		return validIPv4(packet)
	case etherTypeIPv6:
		return validIPv6(packet)
	}
	return true
}

func validIPv4(p []byte) bool {
	if len(p) < minIPv4Header || p[0]>>4 != 4 {
		return true
	}
	header, total := int(p[0]&15)*4, int(binary.BigEndian.Uint16(p[2:]))
	if header < minIPv4Header || total < header || total > len(p) {
		return true
	}
	if Fold(SumBytes(0, p[:header])) != 0xffff {
		return false
	}
	if binary.BigEndian.Uint16(p[6:])&0x3fff != 0 { // more fragments, or an offset
		return true
	}
	return validTransport(p[9], p[12:20], p[header:total])
}

func validIPv6(p []byte) bool {
	if len(p) < ipv6Header || p[0]>>4 != 6 {
		return true
	}
	payload := int(binary.BigEndian.Uint16(p[4:]))
	if ipv6Header+payload > len(p) {
		return true
	}
	return validTransport(p[6], p[8:40], p[ipv6Header:ipv6Header+payload])
}

func validTransport(proto uint8, addresses, segment []byte) bool {
	switch proto {
	case protoTCP:
		if len(segment) < minTCPHeader {
			return true
		}
	case protoUDP:
		if len(segment) < udpHeader || binary.BigEndian.Uint16(segment[6:]) == 0 {
			return true
		}
	case protoICMPv6:
	default:
		return true
	}
	sum := SumBytes(0, addresses) + uint64(proto) + uint64(len(segment))
	return Fold(SumBytes(sum, segment)) == 0xffff
}

// SumBytes adds the big-endian 16-bit words of b to sum, an odd last byte as if a zero followed (RFC 1071). It reads 8
// bytes at a time: a one's complement sum may be taken over wider words and folded later.
func SumBytes(sum uint64, b []byte) uint64 {
	for len(b) >= 32 {
		a, c := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
		d, e := binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:])
		sum += a>>32 + a&0xffffffff + c>>32 + c&0xffffffff + d>>32 + d&0xffffffff + e>>32 + e&0xffffffff
		b = b[32:]
	}
	for len(b) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

// Fold brings a sum of words back to 16 bits.
func Fold(sum uint64) uint16 {
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
