package guesttest

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"image"
	"image/png"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// viewer is a VNC viewer that knows RFB 3.3 and the encoding Raw, and the pseudo-encoding DesktopSize.
type viewer struct {
	t             *testing.T
	conn          net.Conn
	width, height int
	pixels        []uint32 // 0xRRGGBB, line by line
}

// dialViewer connects to a server, once that listens.
func dialViewer(t *testing.T, at string) *viewer {
	t.Helper()
	v := callViewer(t, at)
	v.read(12)
	v.write([]byte("RFB 003.003\n")...)
	v.read(4)
	v.begin()
	return v
}

// dialEncrypted is dialViewer for a server that encrypts and asks for no password (VeNCrypt, X509None). That its certificate is believed is a matter of other tests.
func dialEncrypted(t *testing.T, at string) *viewer {
	t.Helper()
	v := callViewer(t, at)
	v.read(12)
	v.write([]byte("RFB 003.008\n")...)
	if b := v.read(2); b[0] != 1 || b[1] != 19 {
		t.Fatalf("security types % x", b)
	}
	v.write(19)
	v.read(2)
	v.write(0, 2)
	v.read(6)
	v.write(0, 0, 1, 4)
	v.read(1)
	v.conn = tls.Client(v.conn, &tls.Config{InsecureSkipVerify: true})
	if result := v.read(4); result[3] != 0 {
		t.Fatalf("result % x", result)
	}
	v.begin()
	return v
}

// callViewer connects to a server, once that listens, and says nothing yet.
func callViewer(t *testing.T, at string) *viewer {
	t.Helper()
	v := &viewer{t: t}
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		var err error
		if v.conn, err = net.Dial("tcp", at); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { v.conn.Close() })
	v.conn.SetDeadline(time.Now().Add(limit))
	return v
}

// begin is what follows once the viewer may look.
func (v *viewer) begin() {
	v.t.Helper()
	v.write(1)
	size := v.read(4 + 16)
	v.resize(size)
	v.read(int(binary.BigEndian.Uint32(v.read(4))))
	desktopSize := int32(-223)
	v.write(binary.BigEndian.AppendUint32([]byte{2, 0, 0, 2, 0, 0, 0, 0}, uint32(desktopSize))...)
	v.ask(false)
}

func (v *viewer) resize(size []byte) {
	v.width, v.height = int(binary.BigEndian.Uint16(size)), int(binary.BigEndian.Uint16(size[2:]))
	v.pixels = make([]uint32, v.width*v.height)
}

func (v *viewer) read(n int) []byte {
	v.t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(v.conn, b); err != nil {
		v.t.Fatal(err)
	}
	return b
}

func (v *viewer) write(b ...byte) {
	v.t.Helper()
	if _, err := v.conn.Write(b); err != nil {
		v.t.Fatal(err)
	}
}

// ask asks for the next update: of everything, or of what changes.
func (v *viewer) ask(incremental bool) {
	m := []byte{3, 0, 0, 0, 0, 0}
	if incremental {
		m[1] = 1
	}
	m = binary.BigEndian.AppendUint16(m, uint16(v.width))
	v.write(binary.BigEndian.AppendUint16(m, uint16(v.height))...)
}

// next waits for an update and takes it in.
func (v *viewer) next() {
	v.t.Helper()
	v.conn.SetDeadline(time.Now().Add(limit))
	for v.read(1)[0] != 0 { // a bell
	}
	v.update()
}

// cut waits for a text on the clipboard.
func (v *viewer) cut() string {
	v.t.Helper()
	v.conn.SetDeadline(time.Now().Add(limit))
	for {
		switch v.read(1)[0] {
		case 0:
			v.update()
		case 3:
			return string(v.read(int(binary.BigEndian.Uint32(v.read(7)[3:]))))
		}
	}
}

// update takes the rest of an update in, and asks for the next one.
func (v *viewer) update() {
	v.t.Helper()
	resized := false
	for range binary.BigEndian.Uint16(v.read(3)[1:]) {
		r := v.read(12)
		if int32(binary.BigEndian.Uint32(r[8:])) != 0 {
			v.resize(r[4:])
			resized = true
			continue
		}
		x, y, w, h := int(binary.BigEndian.Uint16(r)), int(binary.BigEndian.Uint16(r[2:])), int(binary.BigEndian.Uint16(r[4:])), int(binary.BigEndian.Uint16(r[6:]))
		b := v.read(4 * w * h)
		for i := range w * h {
			v.pixels[(y+i/w)*v.width+x+i%w] = binary.LittleEndian.Uint32(b[4*i:]) & 0xffffff
		}
	}
	v.ask(!resized)
}

// key presses and lets go of a key by its keysym.
func (v *viewer) key(keysym byte) {
	v.write(4, 1, 0, 0, 0, 0, 0xff, keysym, 4, 0, 0, 0, 0, 0, 0xff, keysym)
}

// shows says whether the picture is testguest's pattern of the seed, at a place that no line covers.
func (v *viewer) shows(seed uint32) bool {
	if v.width < 640 || v.height < 480 {
		return false
	}
	for _, at := range [][2]int{{5, 300}, {500, 400}, {639, 479}} {
		x, y := at[0], at[1]
		if v.pixels[y*v.width+x] != (seed*0x9e3779b1>>8^uint32(x)*0x10101+uint32(y)*0x30507)&0xffffff {
			return false
		}
	}
	return true
}

// save writes the picture to the folder that VMM_TEST_PICTURES names, for a person to look at.
func (v *viewer) save(name string) {
	v.t.Helper()
	if pictures == "" {
		return
	}
	img := image.NewRGBA(image.Rect(0, 0, v.width, v.height))
	for i, p := range v.pixels {
		copy(img.Pix[4*i:], []byte{byte(p >> 16), byte(p >> 8), byte(p), 0xff})
	}
	f, err := os.Create(filepath.Join(pictures, strings.ReplaceAll(v.t.Name(), "/", "-")+"-"+name+".png"))
	if err == nil {
		err = errors.Join(png.Encode(f, img), f.Close())
	}
	if err != nil {
		v.t.Error(err)
	}
}
