// Package lease asks a DHCP server for an address, for the first processes of guests.
package lease

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/sharevm/vmm/images/guest/setup"
	"golang.org/x/sys/unix"
)

// Lease is what a DHCP server gave.
type Lease struct {
	Addr    net.IPNet
	Gateway net.IP
	DNS     []net.IP
}

// File is where programs find what the DHCP server gave.
const File = "/run/lease"

// String says what the lease gives, in one line.
func (l Lease) String() string {
	return fmt.Sprintf("eth0 has %v by %v, name server %v", &l.Addr, l.Gateway, l.DNS)
}

// How often the client asks, and for how long it waits each time.
const (
	dhcpTries = 5
	dhcpWait  = 2 * time.Second
)

// Get gets an address for an interface (RFC 2131, section 3.1) and applies it. The lease is not renewed: these machines live for minutes.
func Get(name string) (Lease, error) {
	if err := setup.Up(name); err != nil {
		return Lease{}, err
	}
	ifc, err := net.InterfaceByName(name)
	if err != nil {
		return Lease{}, err
	}
	conn, err := dhcpSocket(name)
	if err != nil {
		return Lease{}, err
	}
	defer conn.Close()
	// Without an address yet, only a broadcast reaches an ordinary UDP socket.
	discover, err := dhcpv4.NewDiscovery(ifc.HardwareAddr, dhcpv4.WithBroadcast(true))
	if err != nil {
		return Lease{}, err
	}
	offer, err := exchange(conn, discover, dhcpv4.MessageTypeOffer)
	if err != nil {
		return Lease{}, err
	}
	request, err := dhcpv4.NewRequestFromOffer(offer, dhcpv4.WithBroadcast(true))
	if err != nil {
		return Lease{}, err
	}
	ack, err := exchange(conn, request, dhcpv4.MessageTypeAck)
	if err != nil {
		return Lease{}, err
	}
	l := Lease{Addr: net.IPNet{IP: ack.YourIPAddr, Mask: ack.SubnetMask()}, DNS: ack.DNS()}
	if routers := ack.Router(); len(routers) > 0 {
		l.Gateway = routers[0]
	}
	return l, l.apply(name)
}

// dhcpSocket is the client's port on one interface that has no address.
func dhcpSocket(name string) (net.PacketConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var opt error
		err := c.Control(func(fd uintptr) {
			opt = errors.Join(unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, name),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1))
		})
		return errors.Join(err, opt)
	}}
	conn, err := lc.ListenPacket(context.Background(), "udp4", fmt.Sprintf(":%d", dhcpv4.ClientPort))
	if err != nil {
		return nil, fmt.Errorf("opening the DHCP client's port: %w", err)
	}
	return conn, nil
}

// exchange sends m until an answer of the wanted type comes.
func exchange(conn net.PacketConn, m *dhcpv4.DHCPv4, want dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	buf := make([]byte, 1500)
	for range dhcpTries {
		if _, err := conn.WriteTo(m.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ServerPort}); err != nil {
			return nil, fmt.Errorf("sending DHCP %v: %w", m.MessageType(), err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(dhcpWait)); err != nil {
			return nil, err
		}
		for {
			n, _, err := conn.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("waiting for DHCP %v: %w", want, err)
			}
			answer, err := dhcpv4.FromBytes(buf[:n])
			if err != nil || answer.TransactionID != m.TransactionID {
				continue
			}
			switch answer.MessageType() {
			case want:
				return answer, nil
			case dhcpv4.MessageTypeNak:
				return nil, errors.New("the DHCP server refused the request")
			}
		}
	}
	return nil, fmt.Errorf("no DHCP %v after %d tries", want, dhcpTries)
}

// apply configures the interface and the resolver.
func (l Lease) apply(name string) error {
	var addr, mask, gateway [4]byte
	if copy(addr[:], l.Addr.IP.To4()) != 4 || copy(mask[:], l.Addr.Mask) != 4 {
		return fmt.Errorf("the DHCP server gave no usable address: %v", l.Addr)
	}
	copy(gateway[:], l.Gateway.To4())
	if err := setup.IPv4(name, addr, mask, gateway); err != nil {
		return err
	}
	var conf strings.Builder
	for _, ip := range l.DNS {
		fmt.Fprintf(&conf, "nameserver %v\n", ip)
	}
	if err := os.WriteFile(File, []byte(l.String()), 0o644); err != nil {
		return err
	}
	// On a read-only root the file is a link into /run or stays as it is.
	if err := os.WriteFile("/etc/resolv.conf", []byte(conf.String()), 0o644); err != nil && !errors.Is(err, unix.EROFS) {
		return err
	}
	return nil
}
