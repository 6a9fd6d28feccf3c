// Package usernet is a network in user space for one guest: a gateway, a DHCP server, a DNS relay and NAT to the outside, and a TFTP server if
// it is given a folder, with no privilege and nothing to set up on the host.
//
// The guest sees one Ethernet (10.0.2.0/24 unless configured: gateway .2, DNS .3, itself .15). Frames go straight from
// the card's buffers into a TCP/IP stack (gVisor's netstack) and back. TCP connections are ended there and carried on by
// sockets of the host, so that a guest can send nothing outside but the bytes of a connection; UDP datagrams and ICMP
// echoes are carried by sockets likewise.
//
//	card -> WriteFrame -> netstack -> tcp.go   -> relay -> host socket
//	                              -> udp.go   -> flow  -> host socket
//	                              -> icmp.go, dhcp.go, dns.go, tftp.go
//	card <- ReadFrame  <- emit.go <- queue <- netstack
//
// Out of the guest's reach unless the configuration says otherwise: the host itself by any of its addresses, addresses
// that mean something only on the host's link, and its own subnet beside the gateway. A [Policy] narrows the rest.
//
// Everything that a guest can make grow is bounded: frames in the queue, connections, flows, DNS questions in flight,
// and the buffers of each. When the guest does not take frames, TCP waits; nothing else is kept for it.
//
// Checksums: a frame whose checksum the guest left open is not summed at all, any other is verified on its way in. The
// stack leaves TCP segments up to 64 KiB whole; emit.go cuts them and sums them only for a guest that cannot.
//
// IPv4 only. Protocols: RFC 791, 792, 826, 768, 9293; DHCP: RFC 2131 and 2132; DNS: RFC 1035; TFTP: package tftp.
package usernet
