package evdev

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// node is an open device of the kernel.
type node interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	Close() error
	// grab takes the device for this process alone, or gives it back.
	grab(on bool) error
	// down is the set of keys and buttons that are down.
	down() ([]byte, error)
	// describe is what the device says of itself.
	describe() (name string, c capabilities, err error)
}

// device is a node of /dev/input.
type device struct {
	*os.File
	fd int // of File, whose Fd would make reads block a thread
}

// errNoDevice is returned for what is no event device.
var errNoDevice = errors.New("no event device")

func openNode(path string) (node, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil { // lights alone need it to be writable
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("%s: %w", path, errNoDevice)
	}
	return &device{os.NewFile(uintptr(fd), path), fd}, nil
}

// Requests (include/uapi/linux/input.h).
const (
	eviocgname = 0x06
	eviocgprop = 0x09
	eviocgkey  = 0x18
	eviocgbit  = 0x20 // and the type
	eviocgabs  = 0x40 // and the axis
	eviocgrab  = 0x40044590
)

// get is the request that fills so many bytes.
func get(nr, size int) uint { return uint(2<<30 | size<<16 | 'E'<<8 | nr) }

func (d *device) grab(on bool) error {
	v := 0
	if on {
		v = 1
	}
	if err := unix.IoctlSetInt(d.fd, eviocgrab, v); err != nil {
		return fmt.Errorf("grab: %w", err)
	}
	return nil
}

func (d *device) down() ([]byte, error) { return d.bytes(eviocgkey, keyBytes) }

func (d *device) describe() (name string, c capabilities, err error) {
	raw, err := d.bytes(eviocgname, 256)
	if err != nil {
		return "", c, err
	}
	for _, set := range []struct {
		to    *[]byte
		nr, n int
	}{{&c.keys, eviocgbit + evKey, keyBytes}, {&c.rel, eviocgbit + evRel, 2}, {&c.abs, eviocgbit + evAbs, 8}, {&c.props, eviocgprop, 4}} {
		if *set.to, err = d.bytes(set.nr, set.n); err != nil {
			return "", c, err
		}
	}
	for at, a := range map[int]*axis{absX: &c.x, absY: &c.y} {
		if !has(c.abs, at) {
			continue
		}
		info, err := d.bytes(eviocgabs+at, absInfoSize)
		if err != nil {
			return "", c, err
		}
		*a = parseAxis(info)
	}
	return oneLine(raw), c, nil
}
