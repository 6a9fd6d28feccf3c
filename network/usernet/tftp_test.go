package usernet_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"

	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/network/usernet"
)

// bootFolder is a folder with one file.
func bootFolder(tb testing.TB, contents []byte) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "kernel"), contents, 0o644); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// readTFTP reads a file as a boot loader does, with blocks of 1024 bytes, and returns an error as its text.
func readTFTP(t *testing.T, g *linktest.Guest, conn *gonet.UDPConn, name string) (contents []byte, refused string) {
	t.Helper()
	server := net.Addr(&net.UDPAddr{IP: gateway.AsSlice(), Port: 69})
	send := func(b []byte) {
		if _, err := conn.WriteTo(b, server); err != nil {
			t.Fatal(err)
		}
	}
	send([]byte("\x00\x01" + name + "\x00octet\x00blksize\x001024\x00"))
	conn.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 2048)
	for next := uint16(1); ; {
		k, from, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(contents), err)
		}
		server = from // it answers from a port of its own
		b := buf[:k]
		switch number := binary.BigEndian.Uint16(b[2:]); b[1] {
		case 6:
			send([]byte{0, 4, 0, 0})
		case 5:
			return nil, string(bytes.TrimSuffix(b[4:], []byte{0}))
		case 3:
			if number != next {
				continue
			}
			next++
			contents = append(contents, b[4:]...)
			send([]byte{0, 4, b[2], b[3]})
			if len(b) < 4+1024 {
				return contents, ""
			}
		}
	}
}

func TestTFTP(t *testing.T) {
	want := pattern(300_000)
	n := newNetwork(t, usernet.Config{Boot: usernet.Boot{Folder: bootFolder(t, want)}})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	conn, err := g.ListenUDP(2000)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 { // from the same port, as some firmware does
		if got, refused := readTFTP(t, g, conn, "/kernel"); !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %q", len(got), refused)
		}
	}
	if _, refused := readTFTP(t, g, conn, "../kernel/../../../etc/passwd"); refused != "no such file" {
		t.Errorf("refused with %q", refused)
	}
	eventually(t, "the transfers end", func() bool { s := n.Stats(); return s.TFTPRequests == 3 && s.TFTPFailures == 1 })
	if s := n.Stats(); s.UDPTotal != 0 || s.Refused != (usernet.Stats{}).Refused {
		t.Errorf("%+v: TFTP is no flow out of the guest", s)
	}
}

// Without a folder there is no server, and the gateway stands for the host, which is out of reach.
func TestNoTFTP(t *testing.T) {
	n := newNetwork(t, usernet.Config{})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	src, dst := netip.AddrPortFrom(g.Addr, 2000), netip.AddrPortFrom(gateway, 69)
	if err := g.Send(linktest.UDPFrame(gatewayMAC, src, dst, []byte("\x00\x01kernel\x00octet\x00"))); err != nil {
		t.Fatal(err)
	}
	if s := n.Stats(); s.Refused[usernet.RefusedHost] != 1 || s.TFTPRequests != 0 {
		t.Errorf("%+v", s)
	}
}

var gatewayMAC = net.HardwareAddr{0x52, 0x55, 10, 0, 2, 2}

// A guest that asks from all of its ports, and takes nothing of what it is sent, gets no more than a few transfers. They end with the network.
func TestTFTPFlood(t *testing.T) {
	n := newNetwork(t, usernet.Config{Boot: usernet.Boot{Folder: bootFolder(t, pattern(1<<20))}})
	ask := []byte("\x00\x01kernel\x00octet\x00windowsize\x0016\x00")
	before := runtime.NumGoroutine()
	for port := range uint16(4096) {
		src, dst := netip.AddrPortFrom(netip.MustParseAddr("10.0.2.15"), 1024+port), netip.AddrPortFrom(gateway, 69)
		frame := append(make([]byte, network.HeaderLen), linktest.UDPFrame(gatewayMAC, src, dst, ask)...)
		if err := n.WriteFrame([][]byte{frame}); err != nil {
			t.Fatal(err)
		}
	}
	if more := runtime.NumGoroutine() - before; more > 32 {
		t.Errorf("%d goroutines for requests", more)
	}
	if s := n.Stats(); s.FromGuestFrames != 4096 {
		t.Errorf("%+v", s)
	}
}

func TestBootOptions(t *testing.T) {
	boot := usernet.Boot{Folder: bootFolder(t, nil), File: "ipxe.efi", Script: "http://10.0.2.2:8000/boot"}
	requested := dhcpv4.WithRequestedOptions(dhcpv4.OptionTFTPServerName, dhcpv4.OptionBootfileName)
	for _, c := range []struct {
		name               string
		boot               usernet.Boot
		mods               []dhcpv4.Modifier
		file, server, next string
		option             string
	}{
		{"nothing to boot", usernet.Boot{}, []dhcpv4.Modifier{requested}, "", "", "0.0.0.0", ""},
		{"firmware", boot, []dhcpv4.Modifier{requested}, "ipxe.efi", "10.0.2.2", "10.0.2.2", "ipxe.efi"},
		{"options not asked for", boot, []dhcpv4.Modifier{dhcpv4.WithRequestedOptions(dhcpv4.OptionRouter)}, "ipxe.efi", "", "10.0.2.2", ""},
		{"iPXE", boot, []dhcpv4.Modifier{requested, dhcpv4.WithUserClass("iPXE", false)}, boot.Script, "10.0.2.2", "10.0.2.2", boot.Script},
		{"iPXE as RFC 3004 has it", boot, []dhcpv4.Modifier{requested, dhcpv4.WithUserClass("iPXE", true)}, boot.Script, "10.0.2.2", "10.0.2.2", boot.Script},
		{"iPXE without a script", usernet.Boot{File: "http://x/y"}, []dhcpv4.Modifier{requested, dhcpv4.WithUserClass("iPXE", false)}, "http://x/y", "10.0.2.2", "10.0.2.2", "http://x/y"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t, usernet.Config{Boot: c.boot})
			g := linktest.NewGuest(t, n, linktest.GuestConfig{})
			for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest} {
				m, err := dhcpv4.New(append(c.mods, dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(linktest.MAC), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IPv4(10, 0, 2, 15))))...)
				if err != nil {
					t.Fatal(err)
				}
				got, err := g.AskDHCP(m)
				if err != nil {
					t.Fatal(err)
				}
				if got.BootFileName != c.file || got.TFTPServerName() != c.server || got.ServerIPAddr.String() != c.next || got.BootFileNameOption() != c.option {
					t.Errorf("%v: file %q, server %q, next server %v, option %q", kind, got.BootFileName, got.TFTPServerName(), got.ServerIPAddr, got.BootFileNameOption())
				}
			}
		})
	}
}

func TestBootErrors(t *testing.T) {
	for want, boot := range map[string]usernet.Boot{
		"no such file":  {Folder: "/nonexistent/boot"},
		"at most 127":   {File: strings.Repeat("x", 128)},
		"printable":     {Script: "a\nb"},
		"TFTP folder /": {Folder: "/dev/null"},
	} {
		if n, err := usernet.New(usernet.Config{Boot: boot}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", boot, err, want)
			if err == nil {
				n.Close()
			}
		}
	}
}
