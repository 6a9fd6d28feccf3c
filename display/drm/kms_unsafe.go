package drm

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is a card as the kernel has it.
type kernel interface {
	// ioctl makes a request of the structure that arg points to.
	ioctl(req uint32, arg unsafe.Pointer) error
	mmap(offset int64, size int) ([]byte, error)
	munmap(p []byte) error
	Read(p []byte) (int, error)
	Close() error
}

// file is a card's device file.
type file struct {
	*os.File
	fd int // of File, whose Fd would make reads block a thread
}

func openFile(path string) (*file, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &file{os.NewFile(uintptr(fd), path), fd}, nil
}

func (f *file) ioctl(req uint32, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(f.fd), uintptr(req), uintptr(arg))
		switch errno {
		case 0:
			return nil
		case unix.EINTR, unix.EAGAIN:
		default:
			return errno
		}
	}
}

func (f *file) mmap(offset int64, size int) ([]byte, error) {
	return unix.Mmap(f.fd, offset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

func (f *file) munmap(p []byte) error { return unix.Munmap(p) }

const (
	write = 1
	read  = 2
)

// request is the number of an ioctl that reads and writes size bytes.
func request(nr uint32, size uintptr) uint32 {
	dir := uint32(read | write)
	if size == 0 {
		dir = 0
	}
	return dir<<30 | uint32(size)<<16 | 'd'<<8 | nr
}

// call makes a request.
func call[T any](k kernel, nr uint32, what string, arg *T) error {
	if err := k.ioctl(request(nr, unsafe.Sizeof(*arg)), unsafe.Pointer(arg)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// bare makes a request without a structure.
func bare(k kernel, nr uint32, what string) error {
	if err := k.ioctl(request(nr, 0), nil); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// list is room for what the kernel fills in, and its address. It stays where it is until pin is unpinned.
func list[T any](pin *runtime.Pinner, n, most uint32) ([]T, uint64) {
	n = min(n, most)
	if n == 0 {
		return nil, 0
	}
	s := make([]T, n)
	pin.Pin(&s[0])
	return s, uint64(uintptr(unsafe.Pointer(&s[0])))
}

// errChanging is for a card whose lists grow each time they are asked for.
var errChanging = errors.New("what the card has keeps changing")

// tries bounds how often a list is asked for whose length changes meanwhile.
const tries = 8

// getResources lists CRTCs and connectors.
func getResources(k kernel) (crtcs, connectors []uint32, err error) {
	const what = "list the card's outputs"
	for range tries {
		var pin runtime.Pinner
		var r resources
		if err := call(k, nrGetResources, what, &r); err != nil {
			return nil, nil, err
		}
		asked := resources{CountCRTCs: min(r.CountCRTCs, maxObjects), CountConnectors: min(r.CountConnectors, maxObjects)}
		crtcs, asked.CRTCs = list[uint32](&pin, r.CountCRTCs, maxObjects)
		connectors, asked.Connectors = list[uint32](&pin, r.CountConnectors, maxObjects)
		nc, nn := asked.CountCRTCs, asked.CountConnectors
		err = call(k, nrGetResources, what, &asked)
		pin.Unpin()
		if err != nil {
			return nil, nil, err
		}
		if asked.CountCRTCs <= nc && asked.CountConnectors <= nn { // of a longer list the kernel fills nothing in
			return crtcs[:asked.CountCRTCs], connectors[:asked.CountConnectors], nil
		}
		if nc == maxObjects || nn == maxObjects {
			break
		}
	}
	return nil, nil, fmt.Errorf("%s: %w", what, errChanging)
}

// connectorLists is a connector with its lists.
type connectorLists struct {
	connectorInfo
	modes    []modeInfo
	encoders []uint32
	props    []uint32
	values   []uint64
}

// getConnector asks for a connector; the kernel looks anew for what is connected.
func getConnector(k kernel, id uint32) (*connectorLists, error) {
	const what = "ask for a connector"
	for range tries {
		var pin runtime.Pinner
		r := connectorInfo{ID: id}
		if err := call(k, nrGetConnector, what, &r); err != nil {
			return nil, err
		}
		c := &connectorLists{connectorInfo: connectorInfo{
			ID: id, CountModes: min(r.CountModes, maxModes), CountEncoders: min(r.CountEncoders, maxObjects), CountProps: min(r.CountProps, maxObjects),
		}}
		a := &c.connectorInfo
		c.modes, a.Modes = list[modeInfo](&pin, max(r.CountModes, 1), maxModes) // with room for none the kernel would look anew again
		a.CountModes = uint32(len(c.modes))
		c.encoders, a.Encoders = list[uint32](&pin, r.CountEncoders, maxObjects)
		c.props, a.Props = list[uint32](&pin, r.CountProps, maxObjects)
		c.values, a.PropValues = list[uint64](&pin, r.CountProps, maxObjects)
		nm, ne, np := a.CountModes, a.CountEncoders, a.CountProps
		err := call(k, nrGetConnector, what, a)
		pin.Unpin()
		if err != nil {
			return nil, err
		}
		if a.CountModes <= nm && a.CountEncoders <= ne && a.CountProps <= np {
			c.modes, c.encoders, c.props, c.values = c.modes[:a.CountModes], c.encoders[:a.CountEncoders], c.props[:a.CountProps], c.values[:a.CountProps]
			return c, nil
		}
		if nm == maxModes || ne == maxObjects || np == maxObjects {
			break
		}
	}
	return nil, fmt.Errorf("%s: %w", what, errChanging)
}

// getBlob reads a property's blob.
func getBlob(k kernel, id uint32) ([]byte, error) {
	const what = "read a property"
	r := blobInfo{ID: id}
	if err := call(k, nrGetBlob, what, &r); err != nil {
		return nil, err
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	p, at := list[byte](&pin, r.Length, maxBlob)
	if int(r.Length) != len(p) {
		return nil, fmt.Errorf("%s: it has %d bytes", what, r.Length)
	}
	r.Data = at
	if err := call(k, nrGetBlob, what, &r); err != nil {
		return nil, err
	}
	if int(r.Length) != len(p) { // and nothing was copied
		return nil, fmt.Errorf("%s: %w", what, errChanging)
	}
	return p, nil
}

// driverName is the name of the card's driver.
func driverName(k kernel) (string, error) {
	const what = "ask for the card's driver"
	var pin runtime.Pinner
	defer pin.Unpin()
	p, at := list[byte](&pin, maxName, maxName)
	v := version{NameLen: maxName, Name: at}
	if err := call(k, nrVersion, what, &v); err != nil {
		return "", err
	}
	return string(p[:min(v.NameLen, maxName)]), nil
}

// setCRTC shows framebuffer fb on a connector; with no mode it switches the CRTC off.
func setCRTC(k kernel, crtc, fb, connector uint32, mode *modeInfo) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	c := crtcInfo{ID: crtc}
	if mode != nil {
		ids, at := list[uint32](&pin, 1, 1)
		ids[0] = connector
		c.Connectors, c.Count, c.FB, c.Valid, c.Mode = at, 1, fb, 1, *mode
	}
	return call(k, nrSetCRTC, "set the screen's mode", &c)
}

// dirty tells the card what of a framebuffer has changed.
func dirty(k kernel, fb uint32, clips []clip) error {
	if len(clips) == 0 {
		return nil
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&clips[0])
	d := dirtyInfo{FB: fb, Count: uint32(len(clips)), Clips: uint64(uintptr(unsafe.Pointer(&clips[0])))}
	return call(k, nrDirtyFB, "tell the card what has changed", &d)
}
