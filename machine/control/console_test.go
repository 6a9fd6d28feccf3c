package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func (m *fakeMachine) ConsoleText() []byte { return []byte("printed before\n") }

// AttachConsole returns a console that answers to each line.
func (m *fakeMachine) AttachConsole(out io.Writer, past bool) Console {
	if past {
		_, _ = out.Write(m.ConsoleText())
	}
	r, w := io.Pipe()
	go func() {
		for s := bufio.NewScanner(r); s.Scan(); {
			fmt.Fprintf(out, "you typed %s\n", s.Text())
		}
		_, _ = io.Copy(io.Discard, r) // behind a line that is too long
	}()
	return w
}

func (m *fakeMachine) Resize(columns, rows uint16) { _ = m.note("size %d %d", columns, rows) }

func (m *fakeMachine) Log(most int) ([]byte, error) {
	if m.name == "silent" {
		return nil, errors.New("no journal is kept")
	}
	return []byte(strings.Repeat("x", min(most, 5)) + "\n"), nil
}

// TestConsole attaches, types and reads, with as many as may be attached; the machine's end is theirs.
func TestConsole(t *testing.T) {
	s := serve(t, t.TempDir(), "vm")
	c := Client{s.ID(), s.Folder(), patience}
	var all []*Attached
	for i := range maxConsoles {
		a, err := c.AttachConsole(t.Context(), i == 0)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		all = append(all, a)
		fmt.Fprintf(a, "hello %d\n", i)
		want := fmt.Sprintf("you typed hello %d\n", i)
		if i == 0 {
			want = "printed before\n" + want
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(a, got); err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	if _, err := c.AttachConsole(t.Context(), true); err == nil || !strings.Contains(err.Error(), "as many as may be") {
		t.Error(err)
	}
	all[0].Close()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) { // the server has yet to notice
		a, err := c.AttachConsole(t.Context(), true)
		if err == nil {
			a.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if err := c.ResizeConsole(t.Context(), ConsoleSize{80, 25}); err != nil {
		t.Error(err)
	}
	if err := c.ResizeConsole(t.Context(), ConsoleSize{}); err == nil {
		t.Error("a console without a size")
	}
	m := s.server.machine.(*fakeMachine)
	m.mu.Lock()
	if len(m.did) != 1 || m.did[0] != "size 80 25" {
		t.Errorf("%q", m.did)
	}
	m.mu.Unlock()
	s.Close()
	if b, err := io.ReadAll(all[1]); len(b) != 0 || err != nil {
		t.Errorf("after the machine's end: %q, %v", b, err)
	}
}

// TestConsoleByHTTP asks for console and journal as any program of HTTP does.
func TestConsoleByHTTP(t *testing.T) {
	root := t.TempDir()
	for name, want := range map[string]map[string]string{
		"vm": {
			"/v1/console": "200 text/plain; charset=utf-8 printed before\n", "/v1/log": "200 text/plain; charset=utf-8 xxxxx\n", "/v1/log?bytes=2": "200 text/plain; charset=utf-8 xx\n",
			"/v1/log?bytes=0": "400 application/json", "/v1/log?bytes=9999999999": "400 application/json",
		},
		"silent": {"/v1/log": "409 application/json"},
	} {
		s := serve(t, root, name)
		for path, want := range want {
			answer, err := httpClient(t, s).Get("http://vmm" + path)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			if got := fmt.Sprintf("%d %s %s", answer.StatusCode, answer.Header.Get("Content-Type"), b); !strings.HasPrefix(got, want) {
				t.Errorf("%s %s: %q, want %q", name, path, got, want)
			}
		}
	}
	s := serve(t, root, "other")
	r, err := http.NewRequest("GET", "http://vmm/v1/console", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Upgrade", "websocket")
	answer, err := httpClient(t, s).Do(r)
	if err != nil || answer.StatusCode != 400 {
		t.Fatal(answer, err)
	}
	answer.Body.Close()
}

// TestConsoleAhead types before the answer has come.
func TestConsoleAhead(t *testing.T) {
	s := serve(t, t.TempDir(), "vm")
	conn, err := net.Dial("unix", filepath.Join(s.Folder(), socketFile))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(conn, "GET /v1/console?history=no HTTP/1.1\r\nUpgrade: vmm-console\r\n\r\nearly\n")
	const want = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: vmm-console\r\nConnection: Upgrade\r\n\r\nyou typed early\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
}

// FuzzClient has a client send anything over a real socket: it is answered or left, and leaves nothing behind.
func FuzzClient(f *testing.F) {
	for _, seed := range []string{
		"GET /v1/machine HTTP/1.1\r\n\r\n", "GET /v1/console HTTP/1.1\r\nUpgrade: vmm-console\r\n\r\nls\n", "PUT /v1/console HTTP/1.1\r\nContent-Length: 25\r\n\r\n{\"columns\":80,\"rows\":25}",
		"GET /v1/log?bytes=7 HTTP/1.1\r\n\r\n", "POST /v1/keys HTTP/1.1\r\nContent-Length: 15\r\n\r\n{\"chord\":\"a-b\"}", "POST /v1/pointer HTTP/1.1\r\nContent-Length: 15\r\n\r\n{\"x\":1,\"y\":-1}",
		"POST /v1/snapshot HTTP/1.1\r\nContent-Length: 14\r\n\r\n{\"files\":[\"\"]}", "POST /v1/link HTTP/1.1\r\nContent-Length: 31\r\n\r\n{\"nic\":\"ethernet0\",\"up\":false}",
		"PATCH /v1/limits HTTP/1.1\r\nContent-Length: 15\r\n\r\n{\"disk.iops\":1}",
	} {
		f.Add([]byte(seed))
	}
	s, err := Open(f.TempDir(), "vm")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	s.Serve(&fakeMachine{name: "vm"}, nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		conn, err := net.Dial("unix", filepath.Join(s.Folder(), socketFile))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		_, err = conn.Write(b)
		if e := conn.(*net.UnixConn).CloseWrite(); err == nil {
			err = e
		}
		answer, rerr := io.ReadAll(io.LimitReader(conn, 1<<20))
		if len(answer) > 64<<10+len(openAPI) || err == nil && errors.As(rerr, new(net.Error)) && rerr.(net.Error).Timeout() {
			t.Fatalf("%d bytes, %v", len(answer), rerr)
		}
	})
}
