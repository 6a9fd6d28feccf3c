package linktest

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Ping sends one ICMP echo with a payload of size bytes and waits for its reply.
func (g *Guest) Ping(to netip.Addr, size int, timeout time.Duration) error {
	var wq waiter.Queue
	ep, terr := g.Stack.NewEndpoint(icmp.ProtocolNumber4, ipv4.ProtocolNumber, &wq)
	if terr != nil {
		return fmt.Errorf("ping: %v", terr)
	}
	defer ep.Close()
	entry, readable := waiter.NewChannelEntry(waiter.ReadableEvents)
	wq.EventRegister(&entry)
	defer wq.EventUnregister(&entry)
	if terr := ep.Connect(g.full(netip.AddrPortFrom(to, 0))); terr != nil {
		return fmt.Errorf("ping: %v", terr)
	}
	message := make([]byte, header.ICMPv4MinimumSize+size)
	header.ICMPv4(message).SetType(header.ICMPv4Echo)
	header.ICMPv4(message).SetSequence(7)
	for i := range size {
		message[header.ICMPv4MinimumSize+i] = byte(i)
	}
	if _, terr := ep.Write(bytes.NewReader(message), tcpip.WriteOptions{}); terr != nil {
		return fmt.Errorf("ping: %v", terr)
	}
	select {
	case <-readable:
	case <-time.After(timeout):
		return fmt.Errorf("ping: no reply from %v", to)
	}
	var reply bytes.Buffer
	if _, terr := ep.Read(&reply, tcpip.ReadOptions{}); terr != nil {
		return fmt.Errorf("ping: %v", terr)
	}
	h := header.ICMPv4(reply.Bytes())
	if len(h) < header.ICMPv4MinimumSize || h.Type() != header.ICMPv4EchoReply || h.Sequence() != 7 ||
		!bytes.Equal(h[header.ICMPv4MinimumSize:], message[header.ICMPv4MinimumSize:]) {
		return fmt.Errorf("ping: wrong reply % x", reply.Bytes())
	}
	return nil
}
