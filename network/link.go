package network

import (
	"net/netip"
	"time"
)

// HeaderLen is the length in bytes of the header that starts every frame on a Link: struct virtio_net_hdr_v1
// (virtio 1.2, section 5.1.6; num_buffers included), little endian.
const HeaderLen = 12

// MaxFrame is the longest frame on a Link in bytes, header included: a 64 KiB TSO segment and its Ethernet header.
const MaxFrame = HeaderLen + 14 + 65535

// Offloads is a set of things that one side of a Link can leave to the other.
type Offloads uint32

// The offloads, named from the view of the side that must cope with such a frame.
const (
	OffloadChecksum Offloads = 1 << iota // frames whose checksum is still to be completed (VIRTIO_NET_HDR_F_NEEDS_CSUM)
	OffloadTSO4                          // TCP over IPv4 segments larger than the MTU
	OffloadTSO6                          // TCP over IPv6 segments larger than the MTU
	OffloadECN                           // TSO with the CWR flag
	OffloadUFO                           // UDP fragmentation
)

// Link is one queue pair of the cable between a guest's network card and what carries its frames. The card calls it from two
// workers, one for each direction; WriteFrame and ReadFrame may run at the same time.
type Link interface {
	// WriteFrame sends one frame of the guest. bufs together hold the header and then the Ethernet frame; they are guest
	// memory, valid only during the call, and may change under it. A malformed frame is dropped and
	// counted, not an error: an error means that the link itself has failed.
	WriteFrame(bufs [][]byte) error
	// ReadFrame waits for the next frame for the guest, fills bufs with header and frame, and returns the byte count.
	// A frame that does not fit is dropped. After SetReadDeadline has passed it returns
	// os.ErrDeadlineExceeded; after Close net.ErrClosed.
	ReadFrame(bufs [][]byte) (int, error)
	// SetReadDeadline bounds present and later ReadFrame calls, as with net.Conn; the zero time lifts the bound.
	SetReadDeadline(t time.Time) error
	// Offloads are what WriteFrame copes with, and so what a card may offer its guest for transmission.
	Offloads() Offloads
	// SetGuestOffloads says what the guest copes with, and so what ReadFrame may hand out. None before the first call.
	SetGuestOffloads(Offloads) error
	// Close ends the link and wakes ReadFrame. Frames written later are dropped.
	Close() error
}

// Connection is a TCP connection of a guest's with the outside, by the addresses that the guest sees.
type Connection struct{ Guest, Outside netip.AddrPort }

// Carrier is a Link that carries its guest's TCP connections itself, so that they end with it, and not with the guest.
type Carrier interface {
	// Connections are those of this moment, or some of them where there are very many.
	Connections() []Connection
	// Abandon has the guest give up connections that another Carrier had, and passes over those that cannot be its guest's.
	Abandon([]Connection)
}
