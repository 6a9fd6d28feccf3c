package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// viewer is a VNC viewer that knows RFB 3.3 (RFC 6143), raw pixels and the pseudo-encoding DesktopSize.
type viewer struct {
	conn          net.Conn
	in            *bufio.Reader
	width, height int
	pixels        []uint32 // 0xRRGGBB, line by line
	line          []byte
}

// inBuffer is what the viewer takes from the server at a time, in bytes.
const inBuffer = 64 << 10

// dialViewer connects to a server as soon as it listens, and asks for its picture.
func dialViewer(at string, deadline time.Time) (*viewer, error) {
	conn, err := dialSoon("tcp", at, deadline)
	if err != nil {
		return nil, err
	}
	v := &viewer{conn: conn, in: bufio.NewReaderSize(conn, inBuffer)}
	if err := v.greet(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("VNC: %w", err)
	}
	return v, nil
}

// dialSoon connects as soon as somebody listens.
func dialSoon(network, at string, deadline time.Time) (net.Conn, error) {
	const pause = time.Millisecond
	for ; ; time.Sleep(pause) {
		conn, err := net.Dial(network, at)
		if err == nil {
			return conn, conn.SetDeadline(deadline)
		}
		if time.Now().After(deadline) {
			return nil, err
		}
	}
}

func (v *viewer) close() { v.conn.Close() }

func (v *viewer) greet() error {
	const version = "RFB 003.003\n"
	if _, err := v.read(len(version)); err != nil {
		return err
	}
	if _, err := v.conn.Write([]byte(version)); err != nil {
		return err
	}
	security, err := v.read(4)
	if err != nil {
		return err
	}
	if s := binary.BigEndian.Uint32(security); s != 1 {
		return fmt.Errorf("security type %d", s)
	}
	if _, err := v.conn.Write([]byte{1}); err != nil {
		return err
	}
	server, err := v.read(24)
	if err != nil {
		return err
	}
	v.resize(server)
	if _, err := v.read(int(binary.BigEndian.Uint32(server[20:]))); err != nil {
		return err
	}
	desktopSize := int32(-223)
	if _, err := v.conn.Write(binary.BigEndian.AppendUint32([]byte{2, 0, 0, 2, 0, 0, 0, 0}, uint32(desktopSize))); err != nil {
		return err
	}
	return v.ask(false)
}

func (v *viewer) resize(size []byte) {
	v.width, v.height = int(binary.BigEndian.Uint16(size)), int(binary.BigEndian.Uint16(size[2:]))
	v.pixels = make([]uint32, v.width*v.height)
}

// read returns the next n bytes, which the next call overwrites.
func (v *viewer) read(n int) ([]byte, error) {
	if n > cap(v.line) {
		v.line = make([]byte, n)
	}
	_, err := io.ReadFull(v.in, v.line[:n])
	return v.line[:n], err
}

// ask asks for the next update: of everything, or of what changes.
func (v *viewer) ask(incremental bool) error {
	m := []byte{3, 0, 0, 0, 0, 0}
	if incremental {
		m[1] = 1
	}
	m = binary.BigEndian.AppendUint16(m, uint16(v.width))
	_, err := v.conn.Write(binary.BigEndian.AppendUint16(m, uint16(v.height)))
	return err
}

// idle waits for an update, and says whether none has begun by then.
func (v *viewer) idle(until, deadline time.Time) (bool, error) {
	if err := v.conn.SetReadDeadline(until); err != nil {
		return false, err
	}
	_, err := v.in.Peek(1)
	var late net.Error
	if err != nil && (!errors.As(err, &late) || !late.Timeout()) {
		return false, err
	}
	return err != nil, v.conn.SetReadDeadline(deadline)
}

// next waits for an update, takes it in, and asks for the one after.
func (v *viewer) next() error {
	resized, err := v.take()
	if err != nil {
		return err
	}
	return v.ask(!resized)
}

// take waits for an update and takes it in. It says whether the picture has another size now.
func (v *viewer) take() (resized bool, err error) {
	head, err := v.read(4)
	if err != nil {
		return resized, err
	}
	if head[0] != 0 {
		return resized, fmt.Errorf("VNC: message %d", head[0])
	}
	for range binary.BigEndian.Uint16(head[2:]) {
		r, err := v.read(12)
		if err != nil {
			return resized, err
		}
		if int32(binary.BigEndian.Uint32(r[8:])) != 0 {
			v.resize(r[4:])
			resized = true
			continue
		}
		x, y, w, h := int(binary.BigEndian.Uint16(r)), int(binary.BigEndian.Uint16(r[2:])), int(binary.BigEndian.Uint16(r[4:])), int(binary.BigEndian.Uint16(r[6:]))
		if x+w > v.width || y+h > v.height {
			return resized, fmt.Errorf("VNC: a rectangle outside the picture")
		}
		for i := range h {
			b, err := v.read(4 * w)
			if err != nil {
				return resized, err
			}
			to := v.pixels[(y+i)*v.width+x:][:w]
			for j := range to {
				to[j] = binary.LittleEndian.Uint32(b[4*j:]) & 0xffffff
			}
		}
	}
	return resized, nil
}

// key presses and lets go of the key of an ASCII character.
func (v *viewer) key(character byte) error {
	_, err := v.conn.Write([]byte{4, 1, 0, 0, 0, 0, 0, character, 4, 0, 0, 0, 0, 0, 0, character})
	return err
}

// What the guest paints (task answer of images/testguest).
const squareAt, squareSize, squareSeed = 16, 64, uint32(0x9e3779b1)

// painted says whether the picture is the guest's after so many keys, pixel by pixel.
func (v *viewer) painted(keys uint32) bool {
	if v.width != screenWidth || v.height != screenHeight {
		return false
	}
	inside := func(i int) bool { return i >= squareAt && i < squareAt+squareSize }
	for y := range v.height {
		for x := range v.width {
			want := (squareSeed>>8 ^ uint32(x)*0x10101 + uint32(y)*0x30507) & 0xffffff
			if keys > 0 && inside(x) && inside(y) {
				want = keys * squareSeed & 0xffffff
			}
			if v.pixels[y*v.width+x] != want {
				return false
			}
		}
	}
	return true
}

// answered says whether the picture is the guest's after any number of keys.
func (v *viewer) answered() bool {
	const most = 1000
	for keys := uint32(1); keys < most; keys++ {
		if v.pixels[squareAt*v.width+squareAt] == keys*squareSeed&0xffffff {
			return v.painted(keys)
		}
	}
	return false
}

// await waits until the picture is right.
func (v *viewer) await(right func(*viewer) bool) error {
	for {
		if err := v.next(); err != nil {
			return err
		}
		if right(v) {
			return nil
		}
	}
}

// press presses a key until the guest answers, less and less often: a monitor whose guest does not run yet may drop it, and a guest that is slow has more to do with each.
func (v *viewer) press(answered func(*viewer) bool) error {
	done, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		pause := 50 * time.Millisecond
		for again := time.NewTimer(pause); ; again.Reset(pause) {
			pause *= 2
			if err := v.key('a'); err != nil {
				stopped <- err
				return
			}
			select {
			case <-again.C:
			case <-done:
				again.Stop()
				stopped <- nil
				return
			}
		}
	}()
	err := v.await(answered)
	close(done)
	return errors.Join(err, <-stopped)
}
