package vnc

import (
	"bytes"
	"image"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/displaytest"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
)

// deaf is a connection to a viewer that says something and listens to nothing.
type deaf struct{ io.Reader }

func (deaf) Write(b []byte) (int, error)      { return len(b), nil }
func (deaf) Close() error                     { return nil }
func (deaf) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (deaf) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (deaf) SetDeadline(time.Time) error      { return nil }
func (deaf) SetReadDeadline(time.Time) error  { return nil }
func (deaf) SetWriteDeadline(time.Time) error { return nil }

// noErrors fails where the server logs an error: a panic.
type noErrors struct{ t *testing.T }

func (noErrors) Write(b []byte) (int, error) { panic(string(b)) }

// FuzzViewer has a viewer say anything: the server neither panics nor hangs.
func FuzzViewer(f *testing.F) {
	hello := "RFB 003.008\n\x01\x01"
	format := string(append([]byte{0, 0, 0, 0}, formats["332"].encode()...))
	f.Add([]byte("RFB 003.003\n\x01"))
	f.Add([]byte(hello + "\x02\x00\x00\x03\x00\x00\x00\x07\xff\xff\xfe\xcc\xff\xff\xff\x11" + format + "\x03\x00\x00\x00\x00\x00\xff\xff\xff\xff"))
	f.Add([]byte(hello + "\x02\x00\x00\x01\x00\x00\x00\x10\x03\x00\x00\x05\x00\x05\x00\x50\x00\x50\x04\x01\x00\x00\x00\x00\x00\x41\x05\x01\x00\x01\x00\x01"))
	f.Add([]byte(hello + "\x06\x00\x00\x00\x00\x00\x00\x02hi\xfb\x00\x02\x00\x02\x00\x00\x00\xff\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x1e"))
	clip := append([]byte(hello+"\x02\x00\x00\x01\xc0\xa1\xe5\xce\x06\x00\x00\x00\xff\xff\xff\xfc\x02\x00\x00\x01\x06\x00\x00\x00\xff\xff\xff"), byte(-int8(4+len(packText("hi")))))
	f.Add(append(append(clip, 0x10, 0, 0, 1), packText("hi")...))
	surface := display.NewSurface()
	src := displaytest.New(f, surface, 150, 90)
	for i := range 90 {
		src.Fill(surfaceRow(i), uint32(i*i*777))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		log := slog.New(slog.NewTextHandler(noErrors{t}, &slog.HandlerOptions{Level: slog.LevelError}))
		s := New(Config{Machine: frontend.Machine{Surface: surface, Input: &input.Hub{}, Clipboard: &frontend.Clipboard{}}, Log: log})
		s.Serve(deaf{bytes.NewReader(said)}, "")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzVeNCrypt has a viewer say anything to a server that encrypts.
func FuzzVeNCrypt(f *testing.F) {
	cert, err := Certificate(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("RFB 003.008\n\x13\x00\x02\x00\x00\x01\x05\x16\x03\x01\x00\x05hello"))
	f.Add([]byte("RFB 003.007\n\x13\x00\x02\x00\x00\x01\x06\x16"))
	f.Add([]byte("RFB 003.003\n"))
	surface := display.NewSurface()
	f.Fuzz(func(t *testing.T, said []byte) {
		log := slog.New(slog.NewTextHandler(noErrors{t}, &slog.HandlerOptions{Level: slog.LevelError}))
		s := New(Config{Machine: frontend.Machine{Surface: surface, Input: &input.Hub{}}, Log: log})
		s.serve(deaf{bytes.NewReader(said)}, "secret", cert)
	})
}

func surfaceRow(y int) image.Rectangle { return image.Rect(0, y, 150, y+1) }
