package usernet

import (
	"context"
	"net/netip"
	"os"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/sharevm/vmm/network/tftp"
)

const (
	tftpPort      = 69
	firstTFTPPort = 49152 // of those from which files are sent (RFC 6335, section 6)
	maxTransfers  = 8
	maxSenders    = 2 * maxTransfers // goroutines: those of transfers that were given up may still wait for the guest to take a frame
	maxTFTPQueue  = 8                // messages of a client that wait for a transfer
)

// tftpTable is the set of transfers by TFTP, by the client's address and port.
type tftpTable struct {
	folder *tftp.Folder // nil: there is no server

	mu        sync.Mutex
	transfers map[netip.AddrPort]*transfer
	next      uint16 // from firstTFTPPort
	senders   int    // goroutines
}

// transfer is the way to a client, for one file.
type transfer struct {
	n      *Network
	client netip.AddrPort
	port   uint16 // of the gateway's
	in     chan []byte
	ctx    context.Context
	cancel context.CancelFunc
	sender udpSender

	used     time.Time // when the client was last heard of; for tftpTable.mu
	answered bool      // it said something after its request; for tftpTable.mu
}

// handleTFTP takes a datagram of the guest to the gateway's address that belongs to TFTP, and says whether it does. It runs in the card's worker, so that each
// file has a goroutine of its own.
func (n *Network) handleTFTP(src netip.AddrPort, port uint16, payload []byte) bool {
	t := &n.tftp
	if t.folder == nil {
		return false
	}
	message := append([]byte(nil), payload[:min(len(payload), tftp.MaxMessage+1)]...)
	if port != tftpPort {
		return t.answer(src, port, message)
	}
	x := t.begin(n, src)
	if x != nil && !n.start(func() { x.serve(message) }) {
		t.end(x)
	}
	return true
}

// begin makes a transfer for a client, in the place of its last one, which it has given up, or of the one longest unused when there are too many. It
// returns nil when the client only repeats a request, since its transfer will repeat the answer, and when the guest takes no frames.
func (t *tftpTable) begin(n *Network, client netip.AddrPort) *transfer {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.transfers[client]
	if old != nil && !old.answered || t.senders >= maxSenders {
		return nil
	}
	if old == nil && len(t.transfers) >= maxTransfers {
		for _, x := range t.transfers {
			if old == nil || x.used.Before(old.used) {
				old = x
			}
		}
	}
	if old != nil {
		delete(t.transfers, old.client)
		old.cancel()
	}
	x := &transfer{
		n: n, client: client, port: firstTFTPPort + t.next%(1<<16-firstTFTPPort), in: make(chan []byte, maxTFTPQueue),
		sender: udpSender{n: n, to: client}, used: time.Now(),
	}
	t.next++
	t.senders++
	x.ctx, x.cancel = context.WithCancel(n.ctx)
	t.transfers[client] = x
	return x
}

// answer hands a client's message to its transfer. One that finds no room is lost, as datagrams are.
func (t *tftpTable) answer(client netip.AddrPort, port uint16, message []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.transfers[client]
	if x == nil || x.port != port {
		return false
	}
	x.used, x.answered = time.Now(), true
	select {
	case x.in <- message:
	default:
	}
	return true
}

func (t *tftpTable) end(x *transfer) {
	x.cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.senders--
	if t.transfers[x.client] == x {
		delete(t.transfers, x.client)
	}
}

func (x *transfer) serve(request []byte) {
	defer x.n.tftp.end(x)
	defer x.sender.close()
	most := x.n.cfg.MTU - header.IPv4MinimumSize - header.UDPMinimumSize - tftp.HeaderLen // boot loaders put no fragments together
	done, err := tftp.Serve(x.n.tftp.folder, request, most, x)
	x.n.stats.tftpRequests.Add(1)
	if err != nil {
		x.n.stats.tftpFailures.Add(1)
	}
	x.n.cfg.Logger.Debug("user network: sent a file by TFTP", "name", done.Name, "bytes", done.Size, "err", err)
}

// Send sends a datagram to the client, as tftp.Conn.
func (x *transfer) Send(datagram []byte) {
	if x.ctx.Err() == nil {
		x.sender.send(netip.AddrPortFrom(x.n.cfg.Gateway, x.port), datagram)
	}
}

// Receive returns the client's next datagram, as tftp.Conn.
func (x *transfer) Receive(deadline time.Time) ([]byte, error) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case m := <-x.in:
		return m, nil
	case <-timer.C:
		return nil, os.ErrDeadlineExceeded
	case <-x.ctx.Done():
		return nil, context.Cause(x.ctx)
	}
}
