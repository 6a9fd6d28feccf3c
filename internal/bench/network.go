package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sharevm/vmm/internal/bench/line"
	"github.com/sharevm/vmm/internal/bench/order"
	"github.com/sharevm/vmm/internal/bench/report"
)

// cardMAC is the address of every guest's network card, each of them alone on its wire.
const cardMAC = "00:50:56:12:34:56"

// A round of a quantity is the median of so many slices of each monitor, in turns and each about as long: what else the machine does
// then hits both alike.
const (
	slices = 5
	slice  = 120 * time.Millisecond
)

// wire is a way out of a guest.
type wire struct {
	guest netip.Prefix
	host  netip.Addr // the server's address, as the guest knows it
	tap   string     // the TAP device; "" is the user network
}

var userWire = wire{guest: netip.MustParsePrefix("10.0.2.15/24"), host: netip.MustParseAddr("10.0.2.2")}

// tapWire is a TAP device and a subnet of a monitor's own.
func tapWire(i int) wire {
	addr := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, byte(i), last}) }
	return wire{guest: netip.PrefixFrom(addr(2), 24), host: addr(1), tap: fmt.Sprintf("bench%d", i)}
}

// netPeers are the monitors that carry a guest's network.
var netPeers = []struct {
	name    string
	command func(f *files, w wire, server netip.AddrPort) ([]string, error)
}{
	{report.Ours, vmmOnWire},
	{"QEMU pc", qemuOnWire},
}

// measureNetwork measures the user network, then TAP.
func measureNetwork(ctx context.Context, o options, f *files, r *report.Report) error {
	server, err := newNetServer()
	if err != nil {
		return err
	}
	defer server.listener.Close()
	for _, name := range []string{"user", "tap"} {
		var guests []*netGuest
		for i, p := range netPeers {
			w := userWire
			if name == "tap" {
				w = tapWire(i)
				if err := w.makeTap(); err != nil {
					return err
				}
			}
			args, err := p.command(f, w, server.at(w.host))
			if err != nil {
				return err
			}
			if o.verbose {
				fmt.Fprintf(os.Stderr, "%s, %s:\n  %s\n", p.name, name, quoted(args))
			}
			g, err := startOnWire(ctx, p.name, args, server)
			if err != nil {
				r.Note("network: %s, %s: %v", p.name, name, err)
				continue
			}
			defer g.end()
			guests = append(guests, g)
		}
		if err := networkRounds(ctx, o, name, server, guests, r); err != nil {
			return err
		}
		for _, g := range guests {
			g.end()
		}
	}
	r.Note("network: over TAP the monitors carry the frames themselves; QEMU is told not to use vhost-net (vhost=off)")
	return nil
}

// networkRounds has the guests on one kind of wire take turns.
func networkRounds(ctx context.Context, o options, wire string, server *netServer, guests []*netGuest, r *report.Report) error {
	for _, q := range quantities {
		counts := make([]uint64, len(guests))
		for i, g := range guests {
			var took time.Duration
			for range 2 { // the first for windows to open and code to warm up
				var err error
				if took, err = server.time(g.conn, order.Order{Kind: q.kind, Count: q.probe}); err != nil {
					return fmt.Errorf("%s, %s: %w; %s", g.name, wire, err, g.lastWords())
				}
			}
			counts[i] = max(q.probe, uint64(float64(q.probe)*slice.Seconds()/took.Seconds()))
		}
		for round := range o.rounds {
			rates := make([]report.Series, len(guests))
			for turn := range slices {
				for i := range guests {
					if turn%2 == 1 {
						i = len(guests) - 1 - i
					}
					if ctx.Err() != nil {
						return ctx.Err()
					}
					took, err := server.time(guests[i].conn, order.Order{Kind: q.kind, Count: counts[i]})
					if err != nil {
						return fmt.Errorf("%s, %s: %w; %s", guests[i].name, wire, err, guests[i].lastWords())
					}
					rates[i].Add(float64(counts[i]) / q.per / took.Seconds())
				}
			}
			for i, g := range guests {
				r.RateOf("net-"+wire+"-"+q.name, q.unit, g.name).Add(rates[i].Median())
				if o.verbose {
					fmt.Fprintf(os.Stderr, "round %d: %s, %s: %s %.1f %s\n", round+1, g.name, wire, q.name, rates[i].Median(), q.unit)
				}
			}
		}
	}
	return nil
}

// netGuest is a monitor whose guest obeys.
type netGuest struct {
	name    string
	command *exec.Cmd
	conn    net.Conn
	console <-chan string // its end, when the monitor has ended
}

// startOnWire starts a monitor and waits for its guest to connect.
func startOnWire(ctx context.Context, name string, args []string, server *netServer) (*netGuest, error) {
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.Stderr = c.Stdout
	if err := c.Start(); err != nil {
		return nil, err
	}
	console := make(chan string, 1)
	go func() {
		var t tail
		for s := bufio.NewScanner(out); s.Scan(); {
			t.add(s.Text())
		}
		console <- t.String()
	}()
	g := &netGuest{name: name, command: c, console: console}
	if g.conn, err = server.accept(ctx); err != nil {
		return nil, fmt.Errorf("%w; %s", err, g.lastWords())
	}
	return g, nil
}

// lastWords ends the monitor and returns what its console showed last.
func (g *netGuest) lastWords() string {
	_ = g.command.Process.Kill() // an error says that it has ended
	select {
	case said := <-g.console:
		return "the console's end: " + said
	case <-time.After(time.Second):
		return "the console stays open"
	}
}

// end ends the monitor.
func (g *netGuest) end() {
	if g.command == nil {
		return
	}
	_ = g.conn.Close()
	_ = g.command.Process.Kill()
	_ = g.command.Wait() // it was killed
	g.command = nil
}

// makeTap makes the TAP device and gives the host's end its address.
func (w wire) makeTap() error {
	tap := &netlink.Tuntap{
		LinkAttrs: netlink.LinkAttrs{Name: w.tap}, Mode: netlink.TUNTAP_MODE_TAP,
		Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR | netlink.TUNTAP_ONE_QUEUE,
	}
	if err := netlink.LinkAdd(tap); err != nil {
		return fmt.Errorf("make TAP device %s: %w", w.tap, err)
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: w.host.AsSlice(), Mask: net.CIDRMask(w.guest.Bits(), 32)}}
	if err := netlink.AddrAdd(tap, address); err != nil {
		return fmt.Errorf("give %s an address: %w", w.tap, err)
	}
	if err := netlink.LinkSetUp(tap); err != nil {
		return fmt.Errorf("set %s up: %w", w.tap, err)
	}
	return nil
}

// orders is the kernel's command line of a guest that takes part. What the kernel does not know is its init's environment: without
// preemption a thread that waits for the network is left alone.
func orders(w wire, server netip.AddrPort) string {
	return fmt.Sprintf("%s GODEBUG=asyncpreemptoff=1 -- %s %v %v", cmdline, line.Network, w.guest, server)
}

func vmmOnWire(f *files, w wire, server netip.AddrPort) ([]string, error) {
	var b strings.Builder
	for _, kv := range [][2]string{
		{".encoding", "UTF-8"}, {"config.version", "8"}, {"virtualHW.version", "19"}, {"guestOS", "debian12-64"},
		{"displayName", "bench"}, {"memsize", strconv.Itoa(ramMiB)},
		{"vmm.kernel", f.kernels[formats[0]]}, {"vmm.initrd", f.initrd}, {"vmm.cmdline", orders(w, server)},
		{"ethernet0.present", "TRUE"}, {"ethernet0.addressType", "static"}, {"ethernet0.address", cardMAC},
	} {
		fmt.Fprintf(&b, "%s = %q\n", kv[0], kv[1])
	}
	if w.tap != "" {
		fmt.Fprintf(&b, "vmm.ethernet0.tap = %q\n", w.tap)
	} else {
		b.WriteString("ethernet0.connectionType = \"nat\"\n")
	}
	vmx := filepath.Join(f.dir, "network.vmx")
	return []string{
		f.vmm, "run", "--allow-outside", "--allow-host-devices", "--allow-host-access",
		"--host-access", strconv.Itoa(int(server.Port())), vmx,
	}, os.WriteFile(vmx, []byte(b.String()), 0o644)
}

func qemuOnWire(f *files, w wire, server netip.AddrPort) ([]string, error) {
	netdev := "user,id=net"
	if w.tap != "" {
		netdev = "tap,id=net,script=no,downscript=no,vhost=off,ifname=" + w.tap
	}
	return []string{
		f.qemu, "-machine", "pc", "-accel", "kvm", "-cpu", "host", "-m", strconv.Itoa(ramMiB), "-smp", "1",
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
		"-kernel", f.kernels[formats[0]], "-initrd", f.initrd, "-append", orders(w, server),
		"-netdev", netdev, "-device", "virtio-net-pci,netdev=net,romfile=,mac=" + cardMAC,
	}, nil
}
