package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/sharevm/vmm/images/guest/setup"
	"golang.org/x/sys/unix"
)

const card = "eth0"

var (
	leaseOnce sync.Once
	leaseErr  error
)

// online gets an address by DHCP, once.
func online() error {
	leaseOnce.Do(func() { leaseErr = lease() })
	return leaseErr
}

func lease() error {
	for _, name := range []string{"lo", card} {
		if err := setup.Up(name); err != nil {
			return err
		}
	}
	if fixed := parameter("vmm.ip"); fixed != "" {
		ip, network, err := net.ParseCIDR(fixed)
		if err != nil {
			return err
		}
		return setup.IPv4(card, [4]byte(ip.To4()), [4]byte(network.Mask), [4]byte{})
	}
	ifc, err := net.InterfaceByName(card)
	if err != nil {
		return err
	}
	conn, err := broadcastSocket()
	if err != nil {
		return fmt.Errorf("DHCP socket: %w", err)
	}
	defer conn.Close()
	discover, err := dhcpv4.NewDiscovery(ifc.HardwareAddr, dhcpv4.WithBroadcast(true))
	if err != nil {
		return err
	}
	offer, err := exchange(conn, discover, dhcpv4.MessageTypeOffer)
	if err != nil {
		return err
	}
	request, err := dhcpv4.NewRequestFromOffer(offer, dhcpv4.WithBroadcast(true))
	if err != nil {
		return err
	}
	ack, err := exchange(conn, request, dhcpv4.MessageTypeAck)
	if err != nil {
		return err
	}
	var gateway [4]byte
	if r := ack.Router(); len(r) > 0 {
		gateway = [4]byte(r[0].To4())
	}
	if err := setup.IPv4(card, [4]byte(ack.YourIPAddr.To4()), [4]byte(ack.SubnetMask()), gateway); err != nil {
		return err
	}
	say("net lease %v gateway %v dns %v", ack.YourIPAddr, ack.Router(), ack.DNS())
	return nil
}

// broadcastSocket speaks on the card while it has no address.
func broadcastSocket() (net.PacketConn, error) {
	var lc net.ListenConfig
	lc.Control = func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
				unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, card))
		}); e != nil {
			return e
		}
		return err
	}
	return lc.ListenPacket(context.Background(), "udp4", "0.0.0.0:68")
}

// exchange sends a message until it is answered.
func exchange(conn net.PacketConn, m *dhcpv4.DHCPv4, want dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	buf := make([]byte, 1500)
	for range 10 {
		if _, err := conn.WriteTo(m.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: 67}); err != nil {
			return nil, fmt.Errorf("DHCP: %w", err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				break
			}
			if r, err := dhcpv4.FromBytes(buf[:n]); err == nil && r.TransactionID == m.TransactionID && r.MessageType() == want {
				return r, nil
			}
		}
	}
	return nil, fmt.Errorf("DHCP: no %v", want)
}

// fetch (URL) gets a page and prints its length and hash.
func fetch(url string) error {
	if err := online(); err != nil {
		return err
	}
	client := http.Client{Timeout: 2 * time.Minute}
	r, err := client.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	if err != nil {
		return fmt.Errorf("%s: after %d bytes: %w", url, n, err)
	}
	say("net %s status=%d bytes=%d sha256=%s", url, r.StatusCode, n, hex.EncodeToString(h.Sum(nil)))
	if r.StatusCode != http.StatusOK {
		return errors.New(r.Status)
	}
	return nil
}

// serve (PORT) answers one HTTP request with the body it was sent.
func serve(port string) error {
	if err := online(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	asked, answered := make(chan struct{}), make(chan error, 1)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // an HTTP/1 server must not answer before it has read
		_, _ = w.Write(append([]byte("the guest echoes: "), body...))
		close(asked)
	})}
	go func() {
		<-asked
		answered <- s.Shutdown(context.Background()) // returns once the answer is out
	}()
	say("serving %s", port)
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-answered
}
