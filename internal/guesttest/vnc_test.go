package guesttest

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestVNC looks at a machine and types into it by VNC, from inside its sandbox: a viewer sees what vmm screenshot writes, and keys and
// the pointer arrive in the guest. The web page's server answers, too.
func TestVNC(t *testing.T) {
	const vncAt, webAt = "127.0.0.1:5931", "127.0.0.1:5831"
	f := newPCFile(t, "screen:7,events:vmm:2")
	f.set("vmm.input", "virtio")
	g := f.start(t, "--vnc="+vncAt, "--web="+webAt)
	g.screenStep("text")
	if out, err := exec.Command("vncsnapshot", "127.0.0.1:31", filepath.Join(f.dir, "text.jpg")).CombinedOutput(); err != nil {
		t.Errorf("vncsnapshot: %v\n%s", err, out)
	}
	g.goOn()
	img := g.screenStep("pattern")

	// A viewer without extensions, RFB 3.3: version, security type, ClientInit, ServerInit.
	conn, err := net.Dial("tcp", vncAt)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(limit))
	read := func(n int) []byte {
		t.Helper()
		b := make([]byte, n)
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	write := func(b ...byte) {
		t.Helper()
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	read(12)
	write([]byte("RFB 003.003\n")...)
	read(4)
	write(1)
	size := read(4 + 16)
	read(int(binary.BigEndian.Uint32(read(4))))
	width, height := binary.BigEndian.Uint16(size), binary.BigEndian.Uint16(size[2:])

	// The whole picture, in the encoding Raw.
	write(3, 0, 0, 0, 0, 0, size[0], size[1], size[2], size[3])
	wrong, pixels := 0, 0
	for range binary.BigEndian.Uint16(read(4)[2:]) {
		r := read(12)
		x, y, w, h := int(binary.BigEndian.Uint16(r)), int(binary.BigEndian.Uint16(r[2:])), int(binary.BigEndian.Uint16(r[4:])), int(binary.BigEndian.Uint16(r[6:]))
		b := read(4 * w * h)
		for i := range w * h {
			if pixel(img, x+i%w, y+i/w) != binary.LittleEndian.Uint32(b[4*i:])&0xffffff {
				wrong++
			}
		}
		pixels += w * h
	}
	if wrong > 0 || pixels != int(width)*int(height) {
		t.Errorf("%d pixels of %d are not what the screenshot shows", wrong, pixels)
	}
	for _, step := range []string{"square", "mode", "wish"} {
		g.goOn()
		g.screenStep(step)
	}
	g.goOn()
	g.expect("^waiting for events$")

	expect := func(want ...string) {
		t.Helper()
		for _, w := range want {
			if got := g.expect(`^event (\d [123] .*)$`)[1]; got != w {
				t.Errorf("event %s, want %s", got, w)
			}
		}
	}
	write(4, 1, 0, 0, 0, 0, 0, 'a')
	write(4, 0, 0, 0, 0, 0, 0, 'a')
	expect("0 1 30 1", "0 1 30 0")
	write(5, 1, byte(width/2>>8), byte(width/2), byte(height/2>>8), byte(height/2))
	write(5, 0, byte(width/2>>8), byte(width/2), byte(height/2>>8), byte(height/2))
	g.expect(`^event 1 3 0 16\d\d\d$`)
	g.expect(`^event 1 3 1 16\d\d\d$`)
	expect("1 1 272 1", "1 1 272 0")

	page, err := http.Get("http://" + webAt + "/")
	if err != nil {
		t.Fatal(err)
	}
	page.Body.Close()
	if page.StatusCode != http.StatusNotFound {
		t.Errorf("the page without its token: %s", page.Status)
	}
	write(4, 1, 0, 0, 0, 0, 0xff, 0xc9)
	conn.Close() // which lets F12 go
	expect("0 1 88 1", "0 1 88 0")
	g.finish()
}
