package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/sharevm/vmm/images/guest/setup"
	"github.com/sharevm/vmm/internal/bench/order"
)

// chunk is how much one system call moves at most, in bytes.
const chunk = 256 << 10

// network gives the card an address and obeys the server's orders. args are the address with its prefix's length and the server's
// address and port.
func network(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("network wants two arguments, has %q", args)
	}
	own, err := netip.ParsePrefix(args[0])
	if err != nil {
		return err
	}
	if err := setup.KernelFS("/"); err != nil {
		return err
	}
	if err := setup.LoadModules("/modules"); err != nil {
		return err
	}
	card, err := waitForCard()
	if err != nil {
		return err
	}
	mask := net.CIDRMask(own.Bits(), 32)
	if err := setup.IPv4(card, own.Addr().As4(), [4]byte(mask), [4]byte{}); err != nil {
		return err
	}
	server, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return err
	}
	c, err := connect(server)
	if err != nil {
		return err
	}
	debug.SetGCPercent(-1) // see socket
	return obey(c)
}

// waitForCard returns the name of the network card, once its driver has made one.
func waitForCard() (string, error) {
	const cards = "/sys/class/net/e*"
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		found, err := filepath.Glob(cards)
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return filepath.Base(found[0]), nil
		}
	}
	return "", fmt.Errorf("no network card: nothing matches %s", cards)
}

// obey carries out orders until the last.
func obey(c io.ReadWriter) error {
	buf := make([]byte, chunk)
	for {
		o, err := order.Read(c)
		if err != nil {
			return err
		}
		switch o.Kind {
		case order.Send:
			err = send(c, buf, o.Count)
		case order.Take:
			if err = take(c, buf, o.Count); err == nil {
				_, err = c.Write(buf[:1])
			}
		case order.Ask:
			err = ask(c, buf[:order.MessageLen], o.Count)
		case order.End:
			return nil
		default:
			err = fmt.Errorf("order %q is not known", o.Kind)
		}
		if err != nil {
			return err
		}
	}
}

func send(c io.ReadWriter, buf []byte, count uint64) error {
	for count > 0 {
		n, err := c.Write(buf[:min(count, uint64(len(buf)))])
		if err != nil {
			return err
		}
		count -= uint64(n)
	}
	return nil
}

func take(c io.ReadWriter, buf []byte, count uint64) error {
	for count > 0 {
		n, err := c.Read(buf[:min(count, uint64(len(buf)))])
		if err != nil {
			return err
		}
		count -= uint64(n)
	}
	return nil
}

func ask(c io.ReadWriter, message []byte, count uint64) error {
	for range count {
		if _, err := c.Write(message); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, message); err != nil {
			return err
		}
	}
	return nil
}
