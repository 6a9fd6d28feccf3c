package usernet

import (
	"math/bits"
	"net"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// DefaultMaxBuffered is how many bytes all connections together may hold, by default.
const DefaultMaxBuffered = 64 << 20

// leastBuffer is what a connection may hold for one direction however many there are: some segments, so that it moves.
const leastBuffer = 8 << 10

// budget shares the memory for what connections hold among them: the more there are, the less each may hold, so that all together hold no
// more than the whole in the stack, and as much again in sockets of the kernel. What a connection holds already when its share shrinks stays until it is read, so that for a moment there may be
// twice as much.
type budget struct {
	whole int // bytes

	mu    sync.Mutex
	open  map[tcpip.Endpoint]*net.TCPConn // both sides of each connection
	share int                             // of one direction of a connection, in force for all of them; 0 is what the stack gives
}

// join counts a connection, and bounds what it may hold.
func (b *budget) join(ep tcpip.Endpoint, host *net.TCPConn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open == nil {
		b.open = make(map[tcpip.Endpoint]*net.TCPConn)
	}
	b.open[ep] = host
	if !b.divide() && b.share != 0 {
		resize(ep, host, b.share)
	}
}

// leave ends what join began.
func (b *budget) leave(ep tcpip.Endpoint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, ep)
	b.divide()
}

// unread is how many bytes of the guest's the host has not taken yet.
func (b *budget) unread() (n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ep := range b.open {
		if size, err := ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption); err == nil {
			n += uint64(size)
		}
	}
	return n
}

// divide says whether the shares have changed, and tells all connections if so. That happens as their number passes a power of two, and
// so seldom. b.mu is held.
func (b *budget) divide() bool {
	share := shareOf(b.whole, len(b.open))
	if share >= maxReceiveBuffer && b.share == 0 || share == b.share {
		return false
	}
	b.share = min(share, maxReceiveBuffer, maxSendBuffer)
	for ep, host := range b.open {
		resize(ep, host, b.share)
	}
	return true
}

// shareOf is how many bytes each direction of so many connections may hold.
func shareOf(whole, connections int) int {
	places := 1 << bits.Len(uint(max(connections, 1)-1))
	return max(whole/(2*places), leastBuffer)
}

// resize bounds what a connection holds, towards the guest and from it, in the stack and in the kernel's socket. Neither tunes the sizes by
// itself any more then.
func resize(ep tcpip.Endpoint, host *net.TCPConn, share int) {
	ep.SocketOptions().SetReceiveBufferSize(int64(share), true)
	ep.SocketOptions().SetSendBufferSize(int64(share), true)
	host.SetReadBuffer(share) // an error says that the socket is closed, and holds nothing
	host.SetWriteBuffer(share)
}
