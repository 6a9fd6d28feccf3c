package vnc

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"net"
	"testing"
	"time"
)

// viewer is a VNC viewer.
type viewer struct {
	t      testing.TB
	conn   net.Conn
	format pixelFormat
	size   image.Point
	pixels []uint32 // 0xRRGGBB as the format has them
	zrle   inflater
	tight  [4]inflater
	seen   map[int32]int // rectangles by encoding
	photos int           // rectangles of JPEG
	cursor []byte        // as it came
	leds   int
	cut    string
	ext    []extended  // of the clipboard, not yet looked at
	status image.Point // reason and status of the last ExtendedDesktopSize
}

// inflater is a zlib stream that comes in pieces.
type inflater struct {
	in bytes.Buffer
	z  io.ReadCloser
}

func (f *inflater) read(t testing.TB, packed []byte, n int) []byte {
	t.Helper()
	f.in.Write(packed)
	if f.z == nil {
		var err error
		if f.z, err = zlib.NewReader(&f.in); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(f.z, b); err != nil {
		t.Fatalf("inflate %d bytes of %d: %v", n, len(packed), err)
	}
	return b
}

// dial shakes hands with a server as a viewer of a version and with a password.
func dial(t testing.TB, s *Server, password, version string) (*viewer, error) {
	t.Helper()
	near, far := net.Pipe()
	go s.Serve(far, s.cfg.Password)
	near.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { near.Close() })
	v := &viewer{t: t, conn: near, format: ownFormat, seen: map[int32]int{}, leds: -1}
	if got := string(v.read(12)); got != "RFB 003.008\n" {
		t.Fatalf("version %q", got)
	}
	v.write([]byte(version))
	kind := byte(0)
	if version == "RFB 003.003\n" {
		kind = v.read(4)[3]
	} else {
		types := v.read(int(v.read(1)[0]))
		kind = types[0]
		v.write(types[:1])
	}
	if kind == securityVNC {
		var answer [16]byte
		if err := respond(answer[:], v.read(16), password); err != nil {
			t.Fatal(err)
		}
		v.write(answer[:])
	}
	if kind == securityVNC || version == "RFB 003.008\n" {
		if v.u32() != 0 {
			if version == "RFB 003.008\n" {
				return nil, fmt.Errorf("%s", v.read(int(v.u32())))
			}
			return nil, errPassword
		}
	}
	v.write([]byte{1})
	v.size = image.Pt(int(v.u16()), int(v.u16()))
	if f, err := parseFormat(v.read(formatSize)); err != nil || f != ownFormat {
		t.Fatalf("format %+v, %v", f, err)
	}
	v.read(int(v.u32()))
	v.pixels = make([]uint32, v.size.X*v.size.Y)
	return v, nil
}

func (v *viewer) write(b []byte) {
	v.t.Helper()
	if _, err := v.conn.Write(b); err != nil {
		v.t.Fatal(err)
	}
}

func (v *viewer) read(n int) []byte {
	v.t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(v.conn, b); err != nil {
		v.t.Fatalf("read %d bytes: %v", n, err)
	}
	return b
}

func (v *viewer) u16() uint16 { v.t.Helper(); return binary.BigEndian.Uint16(v.read(2)) }
func (v *viewer) u32() uint32 { v.t.Helper(); return binary.BigEndian.Uint32(v.read(4)) }

func (v *viewer) setFormat(f pixelFormat) {
	v.format = f
	v.write(append([]byte{msgSetPixelFormat, 0, 0, 0}, f.encode()...))
}

func (v *viewer) setEncodings(list ...int32) {
	b := binary.BigEndian.AppendUint16([]byte{msgSetEncodings, 0}, uint16(len(list)))
	for _, e := range list {
		b = binary.BigEndian.AppendUint32(b, uint32(e))
	}
	v.write(b)
}

func (v *viewer) request(incremental bool, r image.Rectangle) {
	b := []byte{msgUpdateRequest, 0}
	if incremental {
		b[1] = 1
	}
	for _, n := range []int{r.Min.X, r.Min.Y, r.Dx(), r.Dy()} {
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	v.write(b)
}

// all asks for the whole picture.
func (v *viewer) all() {
	v.t.Helper()
	v.request(false, image.Rectangle{Max: v.size})
	v.update()
}

// update takes messages up to an update, and returns the rectangles with pixels in it.
func (v *viewer) update() (rects []image.Rectangle) {
	v.t.Helper()
	for {
		switch kind := v.read(1)[0]; kind {
		case 3:
			v.cutText()
			continue
		case 0:
		default:
			v.t.Fatalf("message %d", kind)
		}
		v.read(1)
		for range v.u16() {
			x, y, w, h := int(v.u16()), int(v.u16()), int(v.u16()), int(v.u16())
			r := image.Rect(x, y, x+w, y+h)
			e := int32(v.u32())
			v.seen[e]++
			if v.rect(r, e) {
				rects = append(rects, r)
			}
		}
		return rects
	}
}

// rect takes a rectangle, and says whether it has pixels of the picture.
func (v *viewer) rect(r image.Rectangle, encoding int32) bool {
	v.t.Helper()
	switch encoding {
	case encodingDesktopSize, encodingExtendedSize:
		if encoding == encodingExtendedSize {
			v.status = r.Min
			v.read(4 + screenSize*int(v.read(1)[0]) - 1)
		}
		v.size = r.Size()
		v.pixels = make([]uint32, v.size.X*v.size.Y)
		return false
	case encodingExtendedKeys:
		return false
	case encodingLEDState:
		v.leds = int(v.read(1)[0])
		return false
	case encodingCursor:
		v.cursor = v.read(r.Dx()*r.Dy()*v.format.bytes + (r.Dx()+7)/8*r.Dy())
		return false
	case encodingAlphaCursor:
		if v.u32() != 0 {
			v.t.Fatal("the cursor is not raw")
		}
		v.cursor = v.read(4 * r.Dx() * r.Dy())
		return false
	}
	if !r.In(image.Rectangle{Max: v.size}) || r.Empty() {
		v.t.Fatalf("rectangle %v of %v", r, v.size)
	}
	switch encoding {
	case encodingRaw:
		b := v.read(r.Dx() * r.Dy() * v.format.bytes)
		v.fill(r, func(i int) uint32 { return v.pixel(b[i*v.format.bytes:]) })
	case encodingZRLE:
		v.zrleRect(r)
	case encodingTight:
		v.tightRect(r)
	default:
		v.t.Fatalf("encoding %d", encoding)
	}
	return true
}

func (v *viewer) fill(r image.Rectangle, pixel func(i int) uint32) {
	for i := range r.Dx() * r.Dy() {
		v.pixels[(r.Min.Y+i/r.Dx())*v.size.X+r.Min.X+i%r.Dx()] = pixel(i)
	}
}

// pixel reads a pixel.
func (v *viewer) pixel(b []byte) uint32 {
	f := &v.format
	var n uint32
	for i := range f.bytes {
		if f.bigEndian {
			n = n<<8 | uint32(b[i])
		} else {
			n |= uint32(b[i]) << (8 * i)
		}
	}
	rgb := uint32(0)
	for i := range 3 {
		rgb = rgb<<8 | (n>>f.shift[i]&uint32(f.max[i]))*255/uint32(f.max[i])
	}
	return rgb
}

func (v *viewer) zrleRect(r image.Rectangle) {
	v.t.Helper()
	packed := v.read(int(v.u32()))
	from, cpixel := v.format.compact()
	// There is no telling the length before it is inflated: byte by byte.
	first := true
	next := func(n int) []byte {
		p := packed
		if !first {
			p = nil
		}
		first = false
		return v.zrle.read(v.t, p, n)
	}
	pixel := func() uint32 {
		b := make([]byte, 4)
		copy(b[from:], next(cpixel))
		return v.pixel(b)
	}
	for y := r.Min.Y; y < r.Max.Y; y += tileSize {
		for x := r.Min.X; x < r.Max.X; x += tileSize {
			tile := image.Rect(x, y, min(x+tileSize, r.Max.X), min(y+tileSize, r.Max.Y))
			n := int(next(1)[0])
			if n == 0 {
				v.fill(tile, func(int) uint32 { return pixel() })
				continue
			}
			if n > 16 {
				v.t.Fatalf("a tile of kind %d", n)
			}
			palette := make([]uint32, n)
			for i := range palette {
				palette[i] = pixel()
			}
			bits := map[bool]int{true: 4}[n > 4]
			switch {
			case n == 1:
				v.fill(tile, func(int) uint32 { return palette[0] })
				continue
			case n == 2:
				bits = 1
			case n <= 4:
				bits = 2
			}
			v.indexed(tile, palette, bits, next)
		}
	}
	if rest := v.zrle.in.Len(); rest != 0 {
		v.t.Fatalf("%d bytes are left", rest)
	}
}

func (v *viewer) indexed(r image.Rectangle, palette []uint32, bits int, next func(int) []byte) {
	line := (r.Dx()*bits + 7) / 8
	b := next(line * r.Dy())
	v.fill(r, func(i int) uint32 {
		at := i % r.Dx() * bits
		return palette[int(b[i/r.Dx()*line+at/8])>>(8-bits-at%8)&(1<<bits-1)]
	})
}

// length is a length in one to three bytes.
func (v *viewer) length() (length int) {
	v.t.Helper()
	for i := range 3 {
		b := int(v.read(1)[0])
		if i == 2 {
			return length | b<<14
		}
		length |= b & 0x7f << (7 * i)
		if b < 0x80 {
			break
		}
	}
	return length
}

func (v *viewer) tightRect(r image.Rectangle) {
	v.t.Helper()
	size := v.format.bytes
	pixel := v.pixel
	if v.format.bytes == 4 && v.format.depth == 24 && v.format.max == [3]uint16{255, 255, 255} {
		size, pixel = 3, func(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }
	}
	control := v.read(1)[0]
	if control == 0x80 {
		c := pixel(v.read(size))
		v.fill(r, func(int) uint32 { return c })
		return
	}
	if control == tightJPEG {
		img, err := jpeg.Decode(bytes.NewReader(v.read(v.length())))
		if err != nil || img.Bounds().Size() != r.Size() {
			v.t.Fatalf("JPEG of %v: %v", r, err)
		}
		v.photos++
		v.fill(r, func(i int) uint32 {
			red, green, blue, _ := img.At(i%r.Dx(), i/r.Dx()).RGBA()
			return red>>8<<16 | green>>8<<8 | blue>>8
		})
		return
	}
	if control&0x8f != 0 {
		v.t.Fatalf("control byte %#x", control)
	}
	data := func(n int) []byte {
		if n < 12 {
			return v.read(n)
		}
		return v.tight[control>>4&3].read(v.t, v.read(v.length()), n)
	}
	if control&0x40 != 0 {
		if filter := v.read(1)[0]; filter != 1 {
			v.t.Fatalf("filter %d", filter)
		}
		palette := make([]uint32, int(v.read(1)[0])+1)
		for i := range palette {
			palette[i] = pixel(v.read(size))
		}
		bits := 8
		if len(palette) == 2 {
			bits = 1
		}
		v.indexed(r, palette, bits, data)
		return
	}
	b := data(size * r.Dx() * r.Dy())
	v.fill(r, func(i int) uint32 { return pixel(b[i*size:]) })
}
