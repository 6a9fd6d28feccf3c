package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// push (MIB:URL) sends random bytes to a server and prints their hash.
func push(args string) error {
	size, url, _ := strings.Cut(args, ":")
	mib, err := strconv.ParseInt(size, 10, 32)
	if err != nil {
		return err
	}
	if err := online(); err != nil {
		return err
	}
	h := sha256.New()
	body := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{byte(mib)}), mib<<20), h)
	client := http.Client{Timeout: 5 * time.Minute}
	r, err := client.Post(url, "application/octet-stream", body)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(r.Body, 1<<10))
	if err != nil {
		return err
	}
	say("push bytes=%d sha256=%s", mib<<20, hex.EncodeToString(h.Sum(nil)))
	if !bytes.Equal(answer, []byte(hex.EncodeToString(h.Sum(nil)))) {
		return fmt.Errorf("the server got other bytes: %s", answer)
	}
	return nil
}

// rate (MIB:URL) fetches a page and sends as many zeros, without looking at either, and prints how long each took.
func rate(args string) error {
	size, url, _ := strings.Cut(args, ":")
	mib, err := strconv.ParseInt(size, 10, 32)
	if err != nil {
		return err
	}
	if err := online(); err != nil {
		return err
	}
	client := http.Client{Timeout: 5 * time.Minute}
	start := time.Now()
	r, err := client.Get(url)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	if err != nil {
		return err
	}
	in := time.Since(start)
	start = time.Now()
	r, err = client.Post(url, "application/octet-stream", bytes.NewReader(make([]byte, mib<<20)))
	if err != nil {
		return err
	}
	_ = r.Body.Close()
	out := time.Since(start)
	mbps := func(n int64, d time.Duration) float64 { return float64(n) / (1 << 20) / d.Seconds() }
	say("rate in %.1f MiB/s out %.1f MiB/s", mbps(n, in), mbps(mib<<20, out))
	return nil
}

// nicInfo prints what the kernel knows of the card: driver, counters of errors, offloads.
func nicInfo(string) error {
	link, err := os.Readlink("/sys/class/net/" + card + "/device/driver")
	if err != nil {
		return err
	}
	say("nic driver %s", filepath.Base(link))
	for _, f := range []string{"address", "mtu", "speed", "carrier", "device/numa_node"} {
		b, _ := os.ReadFile("/sys/class/net/" + card + "/" + f)
		say("nic %s %s", f, bytes.TrimSpace(b))
	}
	queues, _ := filepath.Glob("/sys/class/net/" + card + "/queues/*")
	say("nic queues %d", len(queues))
	vectors, _ := filepath.Glob("/sys/class/net/" + card + "/device/msi_irqs/*")
	say("nic vectors %d", len(vectors))
	counters, err := filepath.Glob("/sys/class/net/" + card + "/statistics/*")
	if err != nil {
		return err
	}
	for _, c := range counters {
		b, _ := os.ReadFile(c)
		name, v := filepath.Base(c), string(bytes.TrimSpace(b))
		say("nic %s %s", name, v)
		if strings.Contains(name, "error") && v != "0" {
			return fmt.Errorf("the card counts %s %s", v, name)
		}
	}
	snmp, err := os.ReadFile("/proc/net/snmp")
	if err != nil {
		return err
	}
	for _, protocol := range []string{"Tcp", "Udp"} {
		if n := counter(string(snmp), protocol, "InCsumErrors"); n != "0" {
			return fmt.Errorf("%s counts %s bad checksums", protocol, n)
		}
	}
	say("nic no bad checksums")
	return nil
}

// counter finds a number in a file like /proc/net/snmp: a line of names and one of numbers.
func counter(text, protocol, name string) string {
	var names []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != protocol+":" {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		for i, n := range names {
			if n == name && i < len(words) {
				return words[i]
			}
		}
	}
	return "none"
}

// flap (COUNT) takes the interface down and up under load, which has the driver reset its card each time, and gets a new lease.
func flap(args string) error {
	count, err := strconv.Atoi(args)
	if err != nil {
		return err
	}
	if err := online(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go sendDatagrams(ctx)
	for range count {
		time.Sleep(20 * time.Millisecond) // let the load run
		if err := changeFlags(0, unix.IFF_UP); err != nil {
			return err
		}
		if err := changeFlags(unix.IFF_UP, 0); err != nil {
			return err
		}
	}
	if err := awaitCarrier(true); err != nil {
		return err
	}
	if err := lease(); err != nil {
		return fmt.Errorf("after %d times down and up: %w", count, err)
	}
	return nil
}

// sendDatagrams sends datagrams to the gateway, both small and in fragments.
func sendDatagrams(ctx context.Context) {
	for ctx.Err() == nil {
		c, err := net.Dial("udp", "10.0.2.2:9")
		if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		for ctx.Err() == nil && err == nil {
			_, err = c.Write(make([]byte, 1400))
			if err == nil {
				_, err = c.Write(make([]byte, 9000))
			}
		}
		_ = c.Close()
	}
}

// changeFlags changes flags of the interface.
func changeFlags(set, clear uint16) error {
	return withInterface(func(fd int, r *unix.Ifreq) error {
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, r); err != nil {
			return err
		}
		r.SetUint16(r.Uint16()&^clear | set)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
	})
}

// withInterface calls f with a socket and a request that names the card.
func withInterface(f func(fd int, r *unix.Ifreq) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq(card)
	if err != nil {
		return err
	}
	return f(fd, r)
}

// mtu (BYTES) changes the interface's MTU, for which drivers reset their cards.
func mtu(args string) error {
	n, err := strconv.ParseUint(args, 10, 16)
	if err != nil {
		return err
	}
	if err := withInterface(func(fd int, r *unix.Ifreq) error {
		r.SetUint32(uint32(n))
		return unix.IoctlIfreq(fd, unix.SIOCSIFMTU, r)
	}); err != nil {
		return err
	}
	return awaitCarrier(true)
}

// modes switches promiscuous and all-multicast mode on and off, and joins a group.
func modes(string) error {
	for _, flag := range []uint16{unix.IFF_PROMISC, unix.IFF_ALLMULTI} {
		if err := changeFlags(flag, 0); err != nil {
			return err
		}
		if err := changeFlags(0, flag); err != nil {
			return err
		}
	}
	ifc, err := net.InterfaceByName(card)
	if err != nil {
		return err
	}
	c, err := net.ListenMulticastUDP("udp4", ifc, &net.UDPAddr{IP: net.IPv4(239, 1, 2, 3), Port: 5000})
	if err != nil {
		return err
	}
	return c.Close()
}

// carrier (up|down) waits for the cable.
func carrier(args string) error {
	say("carrier awaited %s", args)
	return awaitCarrier(args == "up")
}

func awaitCarrier(up bool) error {
	want := "0"
	if up {
		want = "1"
	}
	for range 3000 {
		b, err := os.ReadFile("/sys/class/net/" + card + "/carrier")
		if err == nil && string(bytes.TrimSpace(b)) == want {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("carrier is not %s", want)
}

// trouble are words of drivers whose card does not do what it should.
var trouble = regexp.MustCompile(`(?i)(e1000|vmxnet3|virtio_net|eth0|NETDEV).*\b(hang|reset adapter|fail|error|timed? ?out|invalid|unexpected|unable|mismatch|stuck)`)

// kernelLog prints what the kernel has said of the card, and fails on a complaint.
func kernelLog(string) error {
	buf := make([]byte, 1<<20)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
	if err != nil {
		return err
	}
	var bad error
	about := regexp.MustCompile(`e1000|vmxnet3|virtio_net|eth0|NETDEV`)
	for line := range strings.Lines(string(buf[:n])) {
		if about.MatchString(line) {
			say("klog %s", strings.TrimSpace(line))
		}
		if trouble.MatchString(line) {
			bad = errors.Join(bad, errors.New(strings.TrimSpace(line)))
		}
	}
	return bad
}
