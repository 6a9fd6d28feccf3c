package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/sharevm/vmm/internal/bench/line"
	"github.com/sharevm/vmm/internal/bench/report"
)

// cardMAC is the address of every guest's network card: what the host has learnt of one guest then holds for the next.
const cardMAC = "00:50:56:12:34:56"

// tapName is the TAP device that the monitors take turns on. It stays, with its address, while none of them has it.
const tapName = "bench0"

// wire is a way out of a guest.
type wire struct {
	name  string
	guest netip.Prefix
	host  netip.Addr // the server's address, as the guest knows it
	vmx   string     // how ours is told of it, in the .vmx
	qemu  string     // and QEMU, in -netdev
}

var wires = []wire{
	{
		name: "user", guest: netip.MustParsePrefix("10.0.2.15/24"), host: netip.MustParseAddr("10.0.2.2"),
		vmx: `ethernet0.connectionType = "nat"`, qemu: "user,id=net",
	},
	{
		name: "tap", guest: netip.MustParsePrefix("10.9.0.2/24"), host: netip.MustParseAddr("10.9.0.1"),
		vmx:  `vmm.ethernet0.tap = "` + tapName + `"`,
		qemu: "tap,id=net,script=no,downscript=no,vhost=off,ifname=" + tapName,
	},
}

// netPeers are the monitors that carry a guest's network.
var netPeers = []struct {
	name    string
	command func(f *files, w *wire, server netip.AddrPort) ([]string, error)
}{
	{report.Ours, vmmOnWire},
	{"QEMU pc", qemuOnWire},
}

// networkRounds lets the monitors take turns, on one wire after the other.
func networkRounds(ctx context.Context, o options, f *files, r *report.Report) error {
	if err := makeTap(); err != nil {
		return err
	}
	server, err := newNetServer()
	if err != nil {
		return err
	}
	defer server.listener.Close()
	failures := make(map[string]int)
	for round := range o.rounds {
		for i := range wires {
			for _, p := range netPeers {
				w := &wires[i]
				who := p.name + " " + w.name
				if failures[who] >= giveUp {
					continue
				}
				args, err := p.command(f, w, server.at(w.host))
				if err != nil {
					return err
				}
				if o.verbose && round == 0 {
					fmt.Fprintf(os.Stderr, "%s:\n  %s\n", who, quoted(args))
				}
				got, err := runOnWire(ctx, args, server)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if o.verbose {
					fmt.Fprintf(os.Stderr, "round %d: %s: out %.0f MiB/s, in %.0f MiB/s, %.0f requests/s; %v\n", round+1, who, got.out, got.in, got.asked, err)
				}
				if err != nil {
					failures[who]++
					r.Note("round %d: %s: %v", round+1, who, err)
					continue
				}
				failures[who] = 0
				r.RateOf("net-"+w.name+"-out", "MiB/s", p.name).Add(got.out)
				r.RateOf("net-"+w.name+"-in", "MiB/s", p.name).Add(got.in)
				r.RateOf("net-"+w.name+"-request", "1/s", p.name).Add(got.asked)
			}
		}
	}
	r.Note("network: over TAP the monitors carry the frames themselves; QEMU is told not to use vhost-net (vhost=off)")
	return nil
}

// runOnWire starts a monitor, has its guest obey, and ends it.
func runOnWire(ctx context.Context, args []string, server *netServer) (netFigures, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	out, err := c.StdoutPipe()
	if err != nil {
		return netFigures{}, err
	}
	c.Stderr = c.Stdout
	if err := c.Start(); err != nil {
		return netFigures{}, err
	}
	console := lastLines(out)
	got, err := server.measure(ctx)
	cancel() // kills it
	said := <-console
	_ = c.Wait()
	if err != nil {
		err = fmt.Errorf("%w; the console's end: %s", err, said)
	}
	return got, err
}

// makeTap makes the TAP device and gives the host's end its address.
func makeTap() error {
	tap := &netlink.Tuntap{
		LinkAttrs: netlink.LinkAttrs{Name: tapName}, Mode: netlink.TUNTAP_MODE_TAP,
		Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR | netlink.TUNTAP_ONE_QUEUE,
	}
	if err := netlink.LinkAdd(tap); err != nil {
		return fmt.Errorf("make TAP device %s: %w", tapName, err)
	}
	w := wires[1]
	address := &netlink.Addr{IPNet: &net.IPNet{IP: w.host.AsSlice(), Mask: net.CIDRMask(w.guest.Bits(), 32)}}
	if err := netlink.AddrAdd(tap, address); err != nil {
		return fmt.Errorf("give %s an address: %w", tapName, err)
	}
	if err := netlink.LinkSetUp(tap); err != nil {
		return fmt.Errorf("set %s up: %w", tapName, err)
	}
	return nil
}

// orders is the kernel's command line of a guest that takes part.
func orders(w *wire, server netip.AddrPort) string {
	return fmt.Sprintf("%s -- %s %v %v", cmdline, line.Network, w.guest, server)
}

func vmmOnWire(f *files, w *wire, server netip.AddrPort) ([]string, error) {
	var b strings.Builder
	for _, kv := range [][2]string{
		{".encoding", "UTF-8"}, {"config.version", "8"}, {"virtualHW.version", "19"}, {"guestOS", "debian12-64"},
		{"displayName", "bench"}, {"memsize", strconv.Itoa(ramMiB)},
		{"vmm.kernel", f.kernels[formats[0]]}, {"vmm.initrd", f.initrd}, {"vmm.cmdline", orders(w, server)},
		{"ethernet0.present", "TRUE"}, {"ethernet0.addressType", "static"}, {"ethernet0.address", cardMAC},
	} {
		fmt.Fprintf(&b, "%s = %q\n", kv[0], kv[1])
	}
	b.WriteString(w.vmx + "\n")
	vmx := filepath.Join(f.dir, "network.vmx")
	return []string{
		f.vmm, "run", "--allow-outside", "--allow-host-devices", "--allow-host-access",
		"--host-access", strconv.Itoa(int(server.Port())), vmx,
	}, os.WriteFile(vmx, []byte(b.String()), 0o644)
}

func qemuOnWire(f *files, w *wire, server netip.AddrPort) ([]string, error) {
	return []string{
		f.qemu, "-machine", "pc", "-accel", "kvm", "-cpu", "host", "-m", strconv.Itoa(ramMiB), "-smp", "1",
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
		"-kernel", f.kernels[formats[0]], "-initrd", f.initrd, "-append", orders(w, server),
		"-netdev", w.qemu, "-device", "virtio-net-pci,netdev=net,romfile=,mac=" + cardMAC,
	}, nil
}
