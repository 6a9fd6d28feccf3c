package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/displaytest"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/display/vnc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve shows a screen of 40x30 pixels.
func serve(t *testing.T) *Server {
	t.Helper()
	surface := display.NewSurface()
	displaytest.New(t, surface, 40, 30)
	v := vnc.New(vnc.Config{Machine: frontend.Machine{Name: "vm", Surface: surface, Input: &input.Hub{}}})
	s, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), Config{VNC: v})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); v.Close() })
	return s
}

func client(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

func get(t *testing.T, c *http.Client, url string, change func(*http.Request)) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(b)
}

// TestPage fetches the page and all scripts that it needs.
func TestPage(t *testing.T) {
	s := serve(t)
	c := client(t)
	code, header, body := get(t, c, s.URL(), nil)
	if code != 200 || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") || !strings.Contains(body, "main.js") {
		t.Fatalf("%d %v %s", code, header, body)
	}
	imports := regexp.MustCompile(`(?m)^(?:import|export)[^'"]*['"](\.[^'"]+)['"]`)
	seen := map[string]bool{}
	var fetch func(name string)
	fetch = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		code, header, body := get(t, c, s.URL()+name, nil)
		if code != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/javascript") {
			t.Errorf("%s: %d %s", name, code, header.Get("Content-Type"))
			return
		}
		base, err := http.NewRequest("GET", "http://x/"+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range imports.FindAllStringSubmatch(body, -1) {
			u, err := base.URL.Parse(m[1])
			if err != nil {
				t.Fatal(err)
			}
			fetch(u.Path[1:])
		}
	}
	fetch("main.js")
	if len(seen) < 30 {
		t.Errorf("%d scripts only", len(seen))
	}
}

// TestRefusals asks for what others may not have.
func TestRefusals(t *testing.T) {
	s := serve(t)
	c := client(t)
	host := s.listener.Addr().String()
	for _, test := range []struct {
		name, url string
		change    func(*http.Request)
		code      int
	}{
		{"no token", "http://" + host + "/", nil, 404},
		{"half a token", s.URL()[:len(s.URL())-3] + "/", nil, 404},
		{"no slash", strings.TrimSuffix(s.URL(), "/"), nil, 404},
		{"another name", s.URL(), func(r *http.Request) { r.Host = "evil.example:80" }, 421},
		{"another port", s.URL(), func(r *http.Request) { r.Host = "localhost:1" }, 421},
		{"localhost", s.URL(), func(r *http.Request) { r.Host = strings.Replace(host, "127.0.0.1", "localhost", 1) }, 200},
		{"no such file", s.URL() + "x.html", nil, 404},
		{"a folder", s.URL() + "novnc/core", nil, 404},
		{"outside", s.URL() + "%2e%2e/page/index.html", nil, 404},
		{"another method", s.URL(), func(r *http.Request) { r.Method = "PUT" }, 405},
		{"another origin", s.URL() + "websocket", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		{"no origin", s.URL() + "websocket", nil, 403},
	} {
		if code, _, body := get(t, c, test.url, test.change); code != test.code {
			t.Errorf("%s: %d %.100s, want %d", test.name, code, body, test.code)
		}
	}
	for _, at := range []string{"0.0.0.0:0", "192.0.2.1:0"} {
		if _, err := Listen(netip.MustParseAddrPort(at), Config{}); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// TestWebSocket shakes hands of RFB through somebody else's WebSocket.
func TestWebSocket(t *testing.T) {
	s := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	host := s.listener.Addr().String()
	c, answer, err := websocket.Dial(ctx, s.URL()+"websocket", &websocket.DialOptions{
		HTTPClient: client(t), HTTPHeader: http.Header{"Origin": {"http://" + host}}, Subprotocols: []string{"binary"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Header.Get("Sec-Websocket-Protocol"); got != "binary" {
		t.Errorf("protocol %q", got)
	}
	conn := websocket.NetConn(ctx, c, websocket.MessageBinary)
	defer conn.Close()
	b := make([]byte, 12)
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != "RFB 003.008\n" {
		t.Fatalf("%q, %v", b, err)
	}
	for _, part := range []string{"RFB 00", "3.008\n", "\x01\x01"} { // messages as the client cuts them
		if _, err := io.WriteString(conn, part); err != nil {
			t.Fatal(err)
		}
	}
	b = make([]byte, 2+4+1+24+2)
	if _, err := io.ReadFull(conn, b[:2+4+24+2]); err != nil || binary.BigEndian.Uint16(b[6:]) != 40 || string(b[30:32]) != "vm" {
		t.Fatalf("% x, %v", b, err)
	}
	if _, err := conn.Write(append([]byte{6, 0, 0, 0, 0, 1, 0, 0}, make([]byte, 1<<16)...)); err != nil { // a long frame
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte{3, 0, 0, 0, 0, 0, 0, 40, 0, 30}); err != nil {
		t.Fatal(err)
	}
	b = make([]byte, 4+12+40*30*4)
	if _, err := io.ReadFull(conn, b); err != nil || b[3] != 1 {
		t.Fatalf("an update begins % x, %v", b[:16], err)
	}
}

// pipe is a socket with a client that speaks bytes.
func pipe(said []byte) (*socket, *bytes.Buffer) {
	var out bytes.Buffer
	return &socket{Conn: bytesConn{&out}, in: bufio.NewReader(bytes.NewReader(said))}, &out
}

type bytesConn struct{ *bytes.Buffer }

func (bytesConn) Close() error                     { return nil }
func (bytesConn) LocalAddr() net.Addr              { return nil }
func (bytesConn) RemoteAddr() net.Addr             { return nil }
func (bytesConn) SetDeadline(time.Time) error      { return nil }
func (bytesConn) SetReadDeadline(time.Time) error  { return nil }
func (bytesConn) SetWriteDeadline(time.Time) error { return nil }

func TestFrames(t *testing.T) {
	mask := "\x01\x02\x03\x04"
	masked := func(s string) string {
		b := []byte(s)
		for i := range b {
			b[i] ^= mask[i&3]
		}
		return mask + string(b)
	}
	for _, test := range []struct{ name, said, heard, answered string }{
		{"one message", "\x82\x85" + masked("hello"), "hello", ""},
		{"pieces", "\x02\x82" + masked("ab") + "\x80\x81" + masked("c"), "abc", ""},
		{"a ping between pieces", "\x02\x82" + masked("ab") + "\x89\x81" + masked("!") + "\x80\x81" + masked("c"), "abc", "\x8a\x01!"},
		{"empty messages", "\x82\x80" + mask + "\x82\x80" + mask + "\x82\x81" + masked("x"), "x", ""},
		{"16 bits of length", "\x82\xfe\x00\x05" + masked("hello"), "hello", ""},
		{"64 bits of length", "\x82\xff\x00\x00\x00\x00\x00\x00\x00\x05" + masked("hello"), "hello", ""},
		{"a pong", "\x8a\x80" + mask + "\x82\x81" + masked("x"), "x", ""},
		{"an end", "\x82\x81" + masked("x") + "\x88\x82" + masked("\x03\xe8") + "\x82\x81" + masked("y"), "x", "\x88\x02\x03\xe8"},
	} {
		s, out := pipe([]byte(test.said))
		heard, err := io.ReadAll(s)
		if err != nil || string(heard) != test.heard || out.String() != test.answered {
			t.Errorf("%s: heard %q, answered %q, %v", test.name, heard, out, err)
		}
	}
	for name, said := range map[string]string{
		"not masked": "\x82\x05hello", "text": "\x81\x81" + masked("x"), "reserved bits": "\xc2\x81" + masked("x"), "unknown": "\x83\x81" + masked("x"),
		"a piece of nothing": "\x80\x81" + masked("x"), "message in message": "\x02\x81" + masked("x") + "\x82\x81" + masked("y"),
		"a long ping": "\x89\xfe\x00\x7e" + masked(strings.Repeat("x", 126)), "a ping in pieces": "\x09\x81" + masked("x"),
		"too long": "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00" + mask, "unknown control": "\x8b\x80" + mask,
	} {
		s, _ := pipe([]byte(said))
		if _, err := io.ReadAll(s); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range []int{0, 125, 126, 65535, 65536} {
		s, out := pipe(nil)
		if _, err := s.Write(make([]byte, n)); err != nil || out.Len() < n+2 || out.Len() > n+10 || out.Bytes()[0] != 0x82 {
			t.Errorf("%d bytes became %d, %v", n, out.Len(), err)
		}
	}
	if got := acceptKey("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455, section 1.3
		t.Error(got)
	}
}

func TestRequests(t *testing.T) {
	for text, ok := range map[string]bool{
		"GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n": true, "GET x HTTP/1.1\r\n\r\n": false, "GET /x HTTP/1.0\r\n\r\n": false, "GET /x\r\n\r\n": false,
		"GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", maxHead/6) + "\r\n": false, "GET /" + strings.Repeat("x", maxHead): false, "": false,
	} {
		in := bufio.NewReader(strings.NewReader(text + "rest"))
		r, err := readRequest(in)
		if (err == nil) != ok {
			t.Errorf("%.40q: %+v, %v", text, r, err)
		}
		if rest, _ := io.ReadAll(in); ok && (string(rest) != "rest" || r.path != "/x") {
			t.Errorf("%.40q: path %q, rest %q", text, r.path, rest)
		}
	}
}

// TestClients takes all places with clients that say nothing.
func TestClients(t *testing.T) {
	s := serve(t)
	for range maxClients + 5 {
		conn, err := net.Dial("tcp", s.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	begin := time.Now()
	s.Close()
	if took := time.Since(begin); took > requestTime/2 {
		t.Errorf("Close waited %v", took)
	}
}

func FuzzSocket(f *testing.F) {
	f.Add([]byte("\x82\x85\x01\x02\x03\x04hello"), uint8(3))
	f.Add([]byte("\x02\x82\x01\x02\x03\x04ab\x89\x81\x01\x02\x03\x04!\x80\x81\x01\x02\x03\x04c\x88\x80\x01\x02\x03\x04"), uint8(1))
	f.Fuzz(func(t *testing.T, said []byte, size uint8) {
		s, out := pipe(said)
		total := 0
		for {
			n, err := s.Read(make([]byte, 1+int(size)))
			total += n
			if err != nil {
				break
			}
		}
		if total+out.Len() > len(said) {
			t.Fatalf("%d bytes said, %d heard and %d answered", len(said), total, out.Len())
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte("GET /x HTTP/1.1\r\nHost: 127.0.0.1:1\r\nOrigin: http://127.0.0.1:1\r\nUpgrade: websocket\r\n\r\n"))
	s := &Server{token: "token", port: 1}
	s.listener = stub{}
	f.Fuzz(func(t *testing.T, said []byte) {
		r, err := readRequest(bufio.NewReader(bytes.NewReader(said)))
		if err != nil {
			return
		}
		if name, refused := s.allow(&r); refused == "" && !strings.HasPrefix(r.path, "/token/"+name) {
			t.Fatalf("%q is allowed as %q", r.path, name)
		}
		_ = upgrade(io.Discard, &r)
	})
}

// stub is a listener that has an address.
type stub struct{ net.Listener }

func (stub) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
