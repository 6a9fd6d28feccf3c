package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

//lint:file-ignore U1000 the kernel's structures have fields that nobody needs here

// The requests and structures of the kernel's include/uapi/drm/drm_mode.h that dumb buffers need.

type drmMode struct {
	Clock                                       uint32
	Width, HSyncStart, HSyncEnd, HTotal, HSkew  uint16
	Height, VSyncStart, VSyncEnd, VTotal, VScan uint16
	Refresh, Flags, Type                        uint32
	Name                                        [32]byte
}

type drmResources struct {
	fbs, crtcs, connectors, encoders                     uint64
	countFBs, countCRTCs, countConnectors, countEncoders uint32
	minWidth, maxWidth, minHeight, maxHeight             uint32
}

type drmConnector struct {
	encoders, modes, props, propValues      uint64
	countModes, countProps, countEncoders   uint32
	encoder, id, kind, kindID               uint32
	connection, mmWidth, mmHeight, subpixel uint32
	_                                       uint32
}

type drmCRTC struct {
	connectors         uint64
	count, id, fb      uint32
	x, y, gamma, valid uint32
	mode               drmMode
}

type drmDumb struct {
	height, width, bpp, flags, handle, pitch uint32
	size                                     uint64
}

type drmFB struct{ id, width, height, pitch, bpp, depth, handle uint32 }

type drmMap struct {
	handle, _ uint32
	offset    uint64
}

type drmDirty struct {
	fb, flags, color, count uint32
	clips                   uint64
}

type drmCursor struct {
	flags, crtc   uint32
	x, y          int32
	width, height uint32
	handle        uint32
	hotX, hotY    int32
}

func drm[T any](fd int, nr uintptr, arg *T) error {
	const readWrite, kind = 3, 'd'
	req := readWrite<<30 | unsafe.Sizeof(*arg)<<16 | kind<<8 | nr
	for {
		_, _, err := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req, uintptr(unsafe.Pointer(arg)))
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		if err != 0 {
			return fmt.Errorf("DRM request %#x: %w", nr, err)
		}
		return nil
	}
}

// drmCard is a graphics card with the first monitor that is connected.
type drmCard struct {
	fd              int
	connector, crtc uint32
	modes           []drmMode // the monitor's favourite first
	mapped          [][]byte
}

// unmap gives buffers back, which keep the card open otherwise.
func (c *drmCard) unmap() {
	for _, m := range c.mapped {
		_ = unix.Munmap(m)
	}
}

func openCard(fd int) (*drmCard, error) {
	c := &drmCard{fd: fd}
	return c, c.look()
}

// look finds out what the monitor says.
func (c *drmCard) look() error {
	var crtcs, connectors [8]uint32
	r := drmResources{
		crtcs: uint64(uintptr(unsafe.Pointer(&crtcs))), connectors: uint64(uintptr(unsafe.Pointer(&connectors))),
		countCRTCs: uint32(len(crtcs)), countConnectors: uint32(len(connectors)),
	}
	if err := drm(c.fd, 0xa0, &r); err != nil {
		return err
	}
	for i := range min(int(r.countConnectors), len(connectors)) {
		modes := make([]drmMode, 128)
		// The first request has the kernel ask the monitor.
		k := drmConnector{id: connectors[i]}
		if err := drm(c.fd, 0xa7, &k); err != nil {
			return err
		}
		k = drmConnector{id: connectors[i], modes: uint64(uintptr(unsafe.Pointer(&modes[0]))), countModes: uint32(len(modes))}
		if err := drm(c.fd, 0xa7, &k); err != nil {
			return err
		}
		if k.connection == 1 && k.countModes > 0 && int(k.countModes) <= len(modes) {
			c.connector, c.crtc, c.modes = connectors[i], crtcs[i], modes[:k.countModes]
			return nil
		}
	}
	return fmt.Errorf("no monitor at %d connectors", r.countConnectors)
}

// picture is a frame buffer.
type picture struct {
	id                   uint32
	width, height, pitch int
	pixels               []byte
}

// buffer makes memory of the card that pixels fit in.
func (c *drmCard) buffer(width, height int) (d drmDumb, pixels []byte, err error) {
	d = drmDumb{width: uint32(width), height: uint32(height), bpp: 32}
	if err := drm(c.fd, 0xb2, &d); err != nil {
		return d, nil, err
	}
	m := drmMap{handle: d.handle}
	if err := drm(c.fd, 0xb3, &m); err != nil {
		return d, nil, err
	}
	if pixels, err = unix.Mmap(c.fd, int64(m.offset), int(d.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
		c.mapped = append(c.mapped, pixels)
	}
	return d, pixels, err
}

// show switches to a mode that shows a pattern.
func (c *drmCard) show(m drmMode, seed uint32) (*picture, error) {
	width, height := int(m.Width), int(m.Height)
	d, pixels, err := c.buffer(width, height)
	if err != nil {
		return nil, err
	}
	f := drmFB{width: d.width, height: d.height, pitch: d.pitch, bpp: 32, depth: 24, handle: d.handle}
	if err := drm(c.fd, 0xae, &f); err != nil {
		return nil, err
	}
	for y := range height {
		for x := range width {
			binary.LittleEndian.PutUint32(pixels[y*int(d.pitch)+4*x:], pixelOf(seed, x, y))
		}
	}
	connector := c.connector
	s := drmCRTC{connectors: uint64(uintptr(unsafe.Pointer(&connector))), count: 1, id: c.crtc, fb: f.id, valid: 1, mode: m}
	if err := drm(c.fd, 0xa2, &s); err != nil {
		return nil, err
	}
	p := &picture{f.id, width, height, int(d.pitch), pixels}
	return p, c.dirty(p, 0, 0, width, height)
}

// dirty tells the driver what was drawn.
func (c *drmCard) dirty(p *picture, x1, y1, x2, y2 int) error {
	clip := [4]uint16{uint16(x1), uint16(y1), uint16(x2), uint16(y2)}
	err := drm(c.fd, 0xb1, &drmDirty{fb: p.id, count: 1, clips: uint64(uintptr(unsafe.Pointer(&clip)))})
	if errors.Is(err, unix.ENOSYS) {
		return nil // the card sees by itself
	}
	return err
}

// cursor shows a cursor of 64 by 64 pixels whose hot spot is its first one.
func (c *drmCard) cursor(x, y int) error {
	const size = 64
	d, pixels, err := c.buffer(size, size)
	if err != nil {
		return err
	}
	for i := range size * size {
		v := uint32(0xff0000ff)
		if i == 0 {
			v = 0x80000080
		}
		binary.LittleEndian.PutUint32(pixels[4*i:], v)
	}
	const image, move = 1, 2
	if err := drm(c.fd, 0xbb, &drmCursor{flags: image, crtc: c.crtc, width: size, height: size, handle: d.handle}); err != nil {
		return err
	}
	return drm(c.fd, 0xbb, &drmCursor{flags: move, crtc: c.crtc, x: int32(x), y: int32(y)})
}
