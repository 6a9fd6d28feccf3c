package tap

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/network"
)

const device = "/dev/net/tun"

// Config names a device.
type Config struct {
	// Name of the interface, at most 15 bytes. It is opened when it exists and created when it does not. A name that
	// holds a %d is completed by the kernel.
	Name string
	// Queues is the number of links to open, one for each queue pair of the card: 1..256, default 1. A device that
	// exists must have been made with or without multi_queue accordingly.
	Queues int
	// Up sets the interface up, which takes CAP_NET_ADMIN. Frames cannot pass one that is down.
	Up bool
}

// Stats are counts since Open.
type Stats struct {
	FromGuestFrames, FromGuestBytes uint64
	FromGuestMalformed              uint64 // frames dropped: header or length
	FromGuestDropped                uint64 // the host did not take them: interface down, out of memory
	ToGuestFrames, ToGuestBytes     uint64
	ToGuestDropped                  uint64 // the guest's buffers were too small
}

// Link is one queue of a TAP device.
type Link struct {
	name   string
	file   *os.File
	raw    syscall.RawConn
	closed atomic.Bool

	fromGuestFrames, fromGuestBytes      atomic.Uint64
	fromGuestMalformed, fromGuestDropped atomic.Uint64
	toGuestFrames, toGuestBytes          atomic.Uint64
	toGuestDropped                       atomic.Uint64

	writeMu sync.Mutex
	write   transfer

	readMu sync.Mutex
	read   transfer
	spill  [1]byte // takes the byte that does not fit
}

var _ network.Link = (*Link)(nil)

// offloads are what the kernel takes from a TAP device. It has no UFO any more.
const offloads = network.OffloadChecksum | network.OffloadTSO4 | network.OffloadTSO6 | network.OffloadECN

// Open opens the queues of a device. Errors name it and say what to do.
func Open(cfg Config) (links []*Link, err error) {
	if cfg.Queues == 0 {
		cfg.Queues = 1
	}
	switch {
	case cfg.Name == "":
		return nil, errors.New("TAP device: no name")
	case len(cfg.Name) >= unix.IFNAMSIZ:
		return nil, fmt.Errorf("TAP device %q: name of %d bytes, the kernel takes at most %d", cfg.Name, len(cfg.Name), unix.IFNAMSIZ-1)
	case cfg.Queues < 0 || cfg.Queues > 256:
		return nil, fmt.Errorf("TAP device %q: %d queues, want 1 to 256", cfg.Name, cfg.Queues)
	}
	defer func() {
		if err != nil {
			for _, l := range links {
				l.Close()
			}
			links = nil
		}
	}()
	name := cfg.Name
	for range cfg.Queues {
		l, err := openQueue(name, cfg.Queues > 1)
		if err != nil {
			return links, fmt.Errorf("TAP device %q: %w", name, err)
		}
		name = l.name
		links = append(links, l)
	}
	if cfg.Up {
		if err := setUp(name); err != nil {
			return links, fmt.Errorf("TAP device %q: setting it up: %w", name, err)
		}
	}
	return links, nil
}

func openQueue(name string, several bool) (*Link, error) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == unix.ENODEV, err == unix.ENXIO:
		return nil, fmt.Errorf("the host has no %s: load the module (modprobe tun), or use the user network: %w", device, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("no permission to open %s: %w", device, err)
	case err != nil:
		return nil, fmt.Errorf("opening %s: %w", device, err)
	}
	l := &Link{}
	// The file joins the runtime's poller only when the queue is attached: before, it polls as broken for ever.
	if l.name, err = attach(fd, name, several); err != nil {
		unix.Close(fd)
		return nil, err
	}
	l.file = os.NewFile(uintptr(fd), device)
	if l.raw, err = l.file.SyscallConn(); err != nil {
		l.file.Close()
		return nil, err
	}
	l.write.init(unix.SYS_WRITEV)
	l.read.init(unix.SYS_READV)
	return l, nil
}

// attach makes fd a queue of the interface and returns the interface's name.
func attach(fd int, name string, several bool) (string, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return "", err
	}
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if several {
		flags |= unix.IFF_MULTI_QUEUE
	}
	ifr.SetUint16(flags)
	switch err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err {
	case nil:
	case unix.EPERM:
		return "", fmt.Errorf("no permission: have it made for your user (ip tuntap add %s mode tap vnet_hdr user $USER): %w", name, err)
	case unix.EBUSY:
		return "", fmt.Errorf("in use by another process: %w", err)
	case unix.EINVAL:
		return "", fmt.Errorf("it is no TAP device, or was made for another number of queues: %w", err)
	default:
		return "", fmt.Errorf("attaching: %w", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, network.HeaderLen); err != nil {
		return "", fmt.Errorf("setting the header's size: %w", err)
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0); err != nil {
		return "", fmt.Errorf("setting offloads: %w", err)
	}
	return ifr.Name(), nil
}

// setUp sets an interface up.
func setUp(name string) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr)
}

// Name is the interface's name, completed by the kernel where it had a %d.
func (l *Link) Name() string { return l.name }

// WriteFrame hands a frame of the guest to the host; see network.Link.
func (l *Link) WriteFrame(bufs [][]byte) error {
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	size := network.Len(bufs) - network.HeaderLen
	t := &l.write
	if !network.CopyHeader(&t.header, bufs) || network.DecodeHeader(t.header[:]).Check(size, offloads) != nil {
		l.fromGuestMalformed.Add(1)
		return nil
	}
	if !t.fill(bufs, network.HeaderLen, t.header[:], nil) {
		l.fromGuestMalformed.Add(1)
		return nil
	}
	n, err := t.run(l.raw.Write)
	switch {
	case err != nil && l.closed.Load():
		return nil
	case err == unix.EINVAL: // the kernel looks deeper into the frame than Check does
		l.fromGuestMalformed.Add(1)
		return nil
	case err == unix.EIO, err == unix.ENOMEM, err == unix.ENOBUFS, err == unix.EFAULT:
		l.fromGuestDropped.Add(1)
		return nil
	case err != nil:
		return fmt.Errorf("writing to TAP device %q: %w", l.name, err)
	}
	l.fromGuestFrames.Add(1)
	l.fromGuestBytes.Add(uint64(n - network.HeaderLen))
	return nil
}

// ReadFrame waits for the host's next frame; see network.Link.
func (l *Link) ReadFrame(bufs [][]byte) (int, error) {
	l.readMu.Lock()
	defer l.readMu.Unlock()
	room := network.Len(bufs)
	t := &l.read
	for {
		if !t.fill(bufs, 0, nil, l.spill[:]) {
			return 0, fmt.Errorf("reading from TAP device %q into %d buffers: more than a call takes", l.name, len(bufs))
		}
		n, err := t.run(l.raw.Read)
		switch {
		case err != nil && l.closed.Load():
			return 0, net.ErrClosed
		case errors.Is(err, os.ErrDeadlineExceeded):
			return 0, os.ErrDeadlineExceeded
		case err == unix.EINVAL && room < network.HeaderLen, err == nil && n > room:
			l.toGuestDropped.Add(1)
			continue
		case err != nil:
			return 0, fmt.Errorf("reading from TAP device %q: %w", l.name, err)
		}
		setNumBuffers(bufs)
		l.toGuestFrames.Add(1)
		l.toGuestBytes.Add(uint64(n - network.HeaderLen))
		return n, nil
	}
}

// setNumBuffers sets a header's last field, which the kernel leaves as it was, to 1.
func setNumBuffers(bufs [][]byte) {
	skip := network.ScatterTo(bufs)
	skip.Skip(network.HeaderLen - 2)
	skip.Write([]byte{1, 0})
}

// SetReadDeadline bounds ReadFrame; see network.Link.
func (l *Link) SetReadDeadline(t time.Time) error { return l.file.SetReadDeadline(t) }

// Offloads are what the host takes from a guest; see network.Link.
func (l *Link) Offloads() network.Offloads { return offloads }

// SetGuestOffloads tells the kernel what it may leave to the guest; see network.Link. It holds for all queues of a
// device.
func (l *Link) SetGuestOffloads(o network.Offloads) error {
	flags := 0
	if o&network.OffloadChecksum != 0 { // the kernel takes no other without it
		flags = unix.TUN_F_CSUM
		for _, f := range []struct {
			offload network.Offloads
			flag    int
		}{
			{network.OffloadTSO4, unix.TUN_F_TSO4}, {network.OffloadTSO6, unix.TUN_F_TSO6},
		} {
			if o&f.offload != 0 {
				flags |= f.flag
			}
		}
		if o&network.OffloadECN != 0 && flags != unix.TUN_F_CSUM {
			flags |= unix.TUN_F_TSO_ECN
		}
	}
	var err error
	if cerr := l.raw.Control(func(fd uintptr) { err = unix.IoctlSetInt(int(fd), unix.TUNSETOFFLOAD, flags) }); cerr != nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("setting offloads %#x of TAP device %q: %w", flags, l.name, err)
	}
	return nil
}

// Stats returns the counts of now.
func (l *Link) Stats() Stats {
	return Stats{
		FromGuestFrames: l.fromGuestFrames.Load(), FromGuestBytes: l.fromGuestBytes.Load(),
		FromGuestMalformed: l.fromGuestMalformed.Load(), FromGuestDropped: l.fromGuestDropped.Load(),
		ToGuestFrames: l.toGuestFrames.Load(), ToGuestBytes: l.toGuestBytes.Load(), ToGuestDropped: l.toGuestDropped.Load(),
	}
}

// Close detaches from the device, which goes when it was created by Open and no other link of it is open.
func (l *Link) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("closing TAP device %q: %w", l.name, err)
	}
	return nil
}
