package network

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Flags of a [Header] (virtio 1.2, section 5.1.6).
const (
	FlagNeedsChecksum = 1 << 0 // the checksum at CsumStart+CsumOffset covers only the pseudo header so far
	FlagDataValid     = 1 << 1 // the checksums have been verified; only towards the guest
)

// Kinds of segmentation in a [Header] (virtio 1.2, section 5.1.6).
const (
	GSONone  = 0
	GSOTCPv4 = 1
	GSOUDP   = 3
	GSOTCPv6 = 4
	GSOECN   = 0x80 // a bit beside one of the TCP kinds: the segments carry ECN's CWR flag
)

// Sizes of the headers that the checks below need.
const (
	EthernetHeaderLen = 14
	minIPv4Header     = 20
	ipv6Header        = 40
	minTCPHeader      = 20
	udpHeader         = 8
	maxHeaders        = 1024 // no chain of headers that a guest's stack makes comes near it
)

// ErrHeader is what every malformed header or frame wraps.
var ErrHeader = errors.New("malformed virtio-net header")

// Header is struct virtio_net_hdr_v1. Offsets count from the first byte of the Ethernet frame.
type Header struct {
	Flags      uint8
	GSOType    uint8
	HdrLen     uint16 // length of the headers up to the payload; a hint that nothing here relies on
	GSOSize    uint16 // payload bytes of one segment, if GSOType is not GSONone
	CsumStart  uint16 // where the checksum starts to count
	CsumOffset uint16 // where it is stored, from CsumStart
	NumBuffers uint16 // receive buffers that the frame was spread over; only towards the guest
}

// DecodeHeader reads a header from the first HeaderLen bytes of b, which must hold that many.
func DecodeHeader(b []byte) Header {
	_ = b[HeaderLen-1]
	return Header{
		Flags:      b[0],
		GSOType:    b[1],
		HdrLen:     binary.LittleEndian.Uint16(b[2:]),
		GSOSize:    binary.LittleEndian.Uint16(b[4:]),
		CsumStart:  binary.LittleEndian.Uint16(b[6:]),
		CsumOffset: binary.LittleEndian.Uint16(b[8:]),
		NumBuffers: binary.LittleEndian.Uint16(b[10:]),
	}
}

// Encode writes the header to the first HeaderLen bytes of b, which must hold that many.
func (h Header) Encode(b []byte) {
	_ = b[HeaderLen-1]
	b[0] = h.Flags
	b[1] = h.GSOType
	binary.LittleEndian.PutUint16(b[2:], h.HdrLen)
	binary.LittleEndian.PutUint16(b[4:], h.GSOSize)
	binary.LittleEndian.PutUint16(b[6:], h.CsumStart)
	binary.LittleEndian.PutUint16(b[8:], h.CsumOffset)
	binary.LittleEndian.PutUint16(b[10:], h.NumBuffers)
}

// Check says whether a header that came from a guest, in front of a frame of frameLen bytes, is one that the guest may
// send to a carrier with the offloads allowed: every offset inside the frame, and nothing asked for that was not offered.
// It errs with ErrHeader.
func (h Header) Check(frameLen int, allowed Offloads) error {
	if frameLen < EthernetHeaderLen || frameLen > MaxFrame-HeaderLen {
		return fmt.Errorf("%w: frame of %d bytes", ErrHeader, frameLen)
	}
	needsCsum := h.Flags&FlagNeedsChecksum != 0
	if needsCsum {
		if allowed&OffloadChecksum == 0 {
			return fmt.Errorf("%w: checksum left open, which was not offered", ErrHeader)
		}
		if int(h.CsumStart) < EthernetHeaderLen || int(h.CsumStart)+int(h.CsumOffset)+2 > frameLen {
			return fmt.Errorf("%w: checksum at %d+%d in a frame of %d bytes", ErrHeader, h.CsumStart, h.CsumOffset, frameLen)
		}
	}
	if h.GSOType == GSONone {
		return nil
	}
	var want Offloads
	least := EthernetHeaderLen
	switch h.GSOType &^ GSOECN {
	case GSOTCPv4:
		want, least = OffloadTSO4, least+minIPv4Header+minTCPHeader
	case GSOTCPv6:
		want, least = OffloadTSO6, least+ipv6Header+minTCPHeader
	case GSOUDP:
		want, least = OffloadUFO, least+minIPv4Header+udpHeader
	default:
		return fmt.Errorf("%w: segmentation kind %#x", ErrHeader, h.GSOType)
	}
	if h.GSOType&GSOECN != 0 {
		want |= OffloadECN
	}
	switch {
	case allowed&want != want:
		return fmt.Errorf("%w: segmentation kind %#x, which was not offered", ErrHeader, h.GSOType)
	case !needsCsum:
		return fmt.Errorf("%w: segmentation with a finished checksum", ErrHeader)
	case h.GSOSize == 0:
		return fmt.Errorf("%w: segments of 0 bytes", ErrHeader)
	case frameLen < least:
		return fmt.Errorf("%w: segmentation kind %#x in a frame of %d bytes", ErrHeader, h.GSOType, frameLen)
	case h.HdrLen > maxHeaders:
		return fmt.Errorf("%w: headers of %d bytes", ErrHeader, h.HdrLen)
	}
	return nil
}
