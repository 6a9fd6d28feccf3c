package vnc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"

	"github.com/sharevm/vmm/display/input"
)

// Messages of the viewer (RFC 6143, section 7.5, and extensions).
const (
	msgSetPixelFormat   = 0
	msgSetEncodings     = 2
	msgUpdateRequest    = 3
	msgKey              = 4
	msgPointer          = 5
	msgCutText          = 6
	msgSetDesktopSize   = 251
	msgQEMU             = 255
	qemuExtendedKey     = 0
	maxEncodings        = 1024 // that a viewer may list
	maxScreens          = 64   // of a SetDesktopSize
	screenSize          = 16
	statusForwarded     = 4 // of SetDesktopSize: the guest was asked
	reasonThisClient    = 1
	extendedScancodeBit = 0x80
)

// Encodings and pseudo-encodings.
const (
	encodingRaw          int32 = 0
	encodingTight        int32 = 7
	encodingZRLE         int32 = 16
	encodingDesktopSize  int32 = -223
	encodingCursor       int32 = -239
	encodingExtendedKeys int32 = -258
	encodingLEDState     int32 = -261
	encodingExtendedSize int32 = -308
	encodingAlphaCursor  int32 = -314
	encodingQualityLow   int32 = -32 // ten levels, by which a viewer says that it knows JPEG
	encodingQualityHigh  int32 = -23
	encodingExtendedClip int32 = -0x3f5e1a32 // C0A1E5CEh
)

// read takes the viewer's messages until one makes no sense or the connection ends.
func (c *client) read() error {
	for {
		kind, err := c.in.ReadByte()
		if err != nil {
			return err
		}
		if err := c.message(kind); err != nil {
			return err
		}
	}
}

// message takes a message whose first byte has been read.
func (c *client) message(kind byte) error {
	switch kind {
	case msgSetPixelFormat:
		return c.setPixelFormat()
	case msgSetEncodings:
		return c.setEncodings()
	case msgUpdateRequest:
		return c.updateRequest()
	case msgKey:
		return c.key()
	case msgPointer:
		return c.pointer()
	case msgCutText:
		return c.cutText()
	case msgSetDesktopSize:
		return c.setDesktopSize()
	case msgQEMU:
		return c.qemu()
	}
	return fmt.Errorf("message %d is unknown", kind)
}

// take reads the rest of a message of fixed length.
func (c *client) take(b []byte) error {
	_, err := io.ReadFull(c.in, b)
	return err
}

func (c *client) setPixelFormat() error {
	var b [3 + formatSize]byte
	if err := c.take(b[:]); err != nil {
		return err
	}
	f, err := parseFormat(b[3:])
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.format = f
	return nil
}

func (c *client) setEncodings() error {
	var head [3]byte
	if err := c.take(head[:]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint16(head[1:]))
	if n > maxEncodings {
		return fmt.Errorf("%d encodings", n)
	}
	list := make([]byte, 4*n)
	if err := c.take(list); err != nil {
		return err
	}
	var caps capabilities
	chosen := false
	for ; len(list) > 0; list = list[4:] {
		e := int32(binary.BigEndian.Uint32(list))
		caps.jpeg = caps.jpeg || e >= encodingQualityLow && e <= encodingQualityHigh
		switch e {
		case encodingRaw, encodingTight, encodingZRLE:
			if !chosen { // the viewer names first what it likes best
				caps.encoding, chosen = e, true
			}
		case encodingDesktopSize:
			caps.desktopSize = true
		case encodingExtendedSize:
			caps.extendedSize = true
		case encodingExtendedKeys:
			caps.extendedKeys = true
		case encodingLEDState:
			caps.ledState = true
		case encodingCursor:
			caps.cursor = true
		case encodingAlphaCursor:
			caps.alphaCursor = true
		case encodingExtendedClip:
			caps.extendedClip = c.clip != nil
		}
	}
	c.owe(func(o *owed) {
		had := c.caps
		o.extendedKeys = o.extendedKeys || caps.extendedKeys && !had.extendedKeys
		o.leds = o.leds || caps.ledState && !had.ledState
		o.size = o.size || caps.extendedSize && !had.extendedSize
		o.clipStart = o.clipStart || caps.extendedClip && !had.extendedClip
		c.caps = caps
	})
	return nil
}

func (c *client) updateRequest() error {
	var b [9]byte
	if err := c.take(b[:]); err != nil {
		return err
	}
	v := func(i int) int { return int(binary.BigEndian.Uint16(b[i:])) }
	r := image.Rect(v(1), v(3), v(1)+v(5), v(3)+v(7))
	c.mu.Lock()
	c.request.pending = true
	c.request.area = r
	if b[0] == 0 {
		c.request.full = c.request.full.Union(r)
	}
	c.mu.Unlock()
	c.wake()
	return nil
}

func (c *client) key() error {
	var b [7]byte
	if err := c.take(b[:]); err != nil {
		return err
	}
	if code, ok := input.FromKeysym(binary.BigEndian.Uint32(b[3:])); ok {
		c.source.Key(code, b[0] != 0)
	}
	return nil
}

// qemu is a key event with a scan code, which is right whatever layout the viewer's keyboard has.
func (c *client) qemu() error {
	var b [11]byte
	if err := c.take(b[:]); err != nil {
		return err
	}
	if b[0] != qemuExtendedKey {
		return fmt.Errorf("QEMU's message %d is unknown", b[0])
	}
	scan := binary.BigEndian.Uint32(b[7:])
	if scan&0xff00 == 0xe000 { // as some write the prefix
		scan = scan&0x7f | extendedScancodeBit
	}
	code, ok := input.Code(0), false
	if scan <= 0xff {
		code, ok = input.FromXT(uint8(scan))
	}
	if !ok {
		code, ok = input.FromKeysym(binary.BigEndian.Uint32(b[3:]))
	}
	if ok {
		c.source.Key(code, binary.BigEndian.Uint16(b[1:]) != 0)
	}
	return nil
}

// What the bits of a pointer event's mask stand for: a button, or else notches of the wheels, to the right and away from the user.
var (
	pointerButtons = [8]input.Code{0: input.ButtonLeft, 1: input.ButtonMiddle, 2: input.ButtonRight, 7: input.ButtonSide}
	pointerNotches = [8][2]int{3: {0, 1}, 4: {0, -1}, 5: {-1, 0}, 6: {1, 0}}
)

func (c *client) pointer() error {
	var b [5]byte
	if err := c.take(b[:]); err != nil {
		return err
	}
	size := c.screenSize()
	c.source.Point(int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:])), size.X, size.Y)
	pressed := b[0] &^ c.buttons
	for i, code := range pointerButtons {
		if code != 0 {
			c.source.Key(code, b[0]>>i&1 != 0)
		} else if pressed>>i&1 != 0 {
			c.source.Wheel(pointerNotches[i][0], pointerNotches[i][1])
		}
	}
	c.buttons = b[0]
	return nil
}

func (c *client) setDesktopSize() error {
	var b [7]byte
	if err := c.take(b[:]); err != nil {
		return err
	}
	w, h, screens := binary.BigEndian.Uint16(b[1:]), binary.BigEndian.Uint16(b[3:]), int(b[5])
	if screens > maxScreens {
		return fmt.Errorf("%d screens", screens)
	}
	if err := c.take(make([]byte, screens*screenSize)); err != nil {
		return err
	}
	if w == 0 || h == 0 {
		return errors.New("a screen without pixels")
	}
	c.cfg.Machine.Surface.Wish(image.Pt(int(w), int(h)))
	c.owe(func(o *owed) {
		if c.caps.extendedSize {
			o.size, o.sizeReason, o.sizeStatus = true, reasonThisClient, statusForwarded
		}
	})
	return nil
}
