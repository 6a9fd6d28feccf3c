package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeMachine keeps limits.
type fakeMachine struct {
	name string

	mu     sync.Mutex
	limits config.Limits
	did    []string // what it was told
}

func (m *fakeMachine) Status() Status {
	return Status{Name: m.name, State: Running, VCPUs: 2, Limits: m.Limits(), NICs: []NIC{{Refused: map[string]uint64{"host": 2, "lan": 3}}}}
}

func (m *fakeMachine) Screenshot(screen int, w io.Writer) error {
	if screen > 1 {
		return errors.New("no such screen")
	}
	_, err := fmt.Fprintf(w, "%q", fmt.Sprint("PNG of ", screen)) // a test takes all answers for JSON
	return err
}

func (m *fakeMachine) Limits() config.Limits {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.limits
}

func (m *fakeMachine) SetLimits(l config.Limits) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.CPUQuota != 0 {
		return errors.New("no quota here")
	}
	m.limits = l
	return nil
}

// alone is a machine that sees whether its limits are changed by one client at a time.
type alone struct {
	*fakeMachine
	t *testing.T
	s *Server
}

func (a *alone) SetLimits(l config.Limits) error {
	if a.s.change.TryLock() {
		a.s.change.Unlock()
		a.t.Error("another client may change the limits at the same time")
	}
	return a.fakeMachine.SetLimits(l)
}

// TestOneChange has no client's change of one limit lost because another replaces them all.
func TestOneChange(t *testing.T) {
	a := &alone{&fakeMachine{}, t, &Server{}}
	a.s.machine = a
	for _, method := range []string{"PUT", "PATCH"} {
		if _, err := a.s.do(request{method: method, path: "/v1/limits", body: []byte(`{}`)}); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func (m *fakeMachine) SnapshotFiles() []string { return []string{"state", "memory"} }

// SaveSnapshot writes the names of the files into them.
func (m *fakeMachine) SaveSnapshot(files map[string]*os.File, _ []Child, off func() bool) error {
	for name, f := range files {
		if _, err := f.WriteString(name); err != nil {
			return err
		}
	}
	if len(files) != 2 {
		return errors.New("two files are wanted")
	}
	if off != nil && !off() {
		return errors.New("nobody waits")
	}
	return nil
}

// serve opens a socket for a machine of that name.
func serve(t testing.TB, root, name string) *Socket {
	t.Helper()
	s, err := Open(root, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.Serve(&fakeMachine{name: name}, nil)
	return s
}

func TestClient(t *testing.T) {
	root := filepath.Join(t.TempDir(), strings.Repeat("a-long-folder/", 12)) // longer than the address of a socket may be
	if err := os.MkdirAll(root, 0o700); err != nil {
		t.Fatal(err)
	}
	s := serve(t, root, "Über VM 1")
	if s.ID() != "ber-vm-1" {
		t.Errorf("the id is %q", s.ID())
	}
	c, err := Find(root, s.ID())
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	status, err := c.Status(ctx)
	if err != nil || status.Name != "Über VM 1" || status.ID != s.ID() || status.PID != os.Getpid() || status.TotalRefused() != 5 {
		t.Errorf("%+v, %v", status, err)
	}
	l, err := c.ChangeLimits(ctx, map[string]string{"disk.iops": "500", "net.in": "1M"})
	if err != nil || l.DiskOps.PerSecond != 500 || l.NetIn.PerSecond != 1<<20 {
		t.Errorf("%+v, %v", l, err)
	}
	if l, err = c.ChangeLimits(ctx, map[string]string{"disk.iops": "off"}); err != nil || l.DiskOps.PerSecond != 0 || l.NetIn.PerSecond != 1<<20 {
		t.Errorf("%+v, %v", l, err)
	}
	if got, err := c.Limits(ctx); err != nil || got != l {
		t.Errorf("%+v, %v", got, err)
	}
	for change, want := range map[string]string{"gravity": "not a limit", "cpu.quota": "no quota here"} {
		if _, err := c.ChangeLimits(ctx, map[string]string{change: "1"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", change, err)
		}
	}
	if png, err := c.Screenshot(ctx, 1); err != nil || string(png) != `"PNG of 1"` {
		t.Errorf("%q, %v", png, err)
	}
	if _, err := c.Screenshot(ctx, 2); err == nil || !strings.Contains(err.Error(), "no such screen") {
		t.Error(err)
	}
	if _, err := Find(root, "other"); !errors.Is(err, ErrNoMachine) {
		t.Error(err)
	}
	info, err := os.Stat(filepath.Join(s.Folder(), socketFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	s.Close()
	if _, err := c.Status(ctx); err == nil {
		t.Error("a closed socket answers")
	}
	if got := ids(t, root); len(got) != 0 {
		t.Errorf("%v run after Close", got)
	}
	if _, err := os.Stat(s.Folder()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func ids(t *testing.T, root string) (all []string) {
	t.Helper()
	clients, err := List(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		all = append(all, c.ID)
	}
	return all
}

// TestStale has folders left over: of machines that were killed, halfway made, and with what nobody knows.
func TestStale(t *testing.T) {
	root := t.TempDir()
	if err := os.Chmod(root, 0o700); err != nil {
		t.Fatal(err)
	}
	a, b := serve(t, root, "vm"), serve(t, root, "vm")
	gone := serve(t, root, "gone")
	gone.Close()
	for _, dir := range []string{"half", "foreign"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	kept := filepath.Join(root, "foreign", "notes")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, root); !slices.Equal(got, []string{"vm", "vm-2"}) {
		t.Errorf("%v run", got)
	}
	for _, dir := range []string{"gone", "half"} {
		if _, err := os.Stat(filepath.Join(root, dir)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("a file that is no machine's was removed: %v", err)
	}
	a.Close()
	if got := ids(t, root); !slices.Equal(got, []string{"vm-2"}) {
		t.Errorf("%v run", got)
	}
	if c := serve(t, root, "vm"); c.ID() != "vm" {
		t.Errorf("the free id is not taken again, but %s", c.ID())
	}
	b.Close()
}

func TestRoot(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	root, err := Root()
	if err != nil || root != filepath.Join(dir, "vmm") {
		t.Fatalf("%s, %v", root, err)
	}
	if info, err := os.Stat(root); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := Root(); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(root, 0o770); err != nil {
		t.Fatal(err)
	}
	if _, err := Root(); err == nil {
		t.Error("a folder that others can write into is taken")
	}
	if err := os.Remove(root); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), root); err != nil {
		t.Fatal(err)
	}
	if _, err := Root(); err == nil {
		t.Error("a link is taken")
	}
}

func TestIDOf(t *testing.T) {
	for name, want := range map[string]string{
		"Windows 10 (64)": "windows-10--64", "../../etc": "etc", "": "machine", "日本": "machine", "a\x00b\n": "a-b", strings.Repeat("x", 99): strings.Repeat("x", maxID),
	} {
		if got := idOf(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// httpClient is Go's own client, on a socket.
func httpClient(t *testing.T, s *Socket) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.Folder(), socketFile))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// TestHTTP speaks to the server with net/http, and with curl where that is installed.
func TestHTTP(t *testing.T) {
	root := t.TempDir()
	s := serve(t, root, "vm")
	c := httpClient(t, s)
	curl, _ := exec.LookPath("curl")
	for _, test := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"GET", "/v1/machine", "", 200, `"name":"vm"`},
		{"GET", "/v1/machine?x=y", "", 200, `"state":"running"`},
		{"GET", "/v1/openapi.json", "", 200, `"openapi":"3.1.0"`},
		{"GET", "/v1/screenshot", "", 200, "PNG of 0"},
		{"GET", "/v1/screenshot?screen=x", "", 400, "not a number"},
		{"GET", "/v1/screenshot?screen=%", "", 400, "query"},
		{"PUT", "/v1/limits", `{"disk.iops":7,"net.out":"1K"}`, 200, `{"disk.iops":7,"net.out":1024}`},
		{"PATCH", "/v1/limits", `{"disk.iops":null}`, 200, `{"net.out":1024}`},
		{"PUT", "/v1/limits", `{}`, 200, `{}`},
		{"PUT", "/v1/limits", ``, 400, `error`},
		{"PUT", "/v1/limits", `{} {}`, 400, `something behind`},
		{"PUT", "/v1/limits", `{"disk.iops":-1}`, 400, `not a limit`},
		{"PUT", "/v1/limits", `{"cpu.quota":1}`, 409, `no quota here`},
		{"PUT", "/v1/limits", strings.Repeat(" ", maxBody+1), 413, `at most 65536`},
		{"DELETE", "/v1/machine", "", 405, `not possible`},
		{"GET", "/", "", 404, `openapi.json`},
		{"GET", "/v1/machine/../limits", "", 404, ``},
	} {
		r, err := http.NewRequest(test.method, "http://vmm"+test.path, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.Do(r)
		if err != nil {
			t.Errorf("%s %s: %v", test.method, test.path, err)
			continue
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != test.code || !bytes.Contains(body, []byte(test.want)) || !json.Valid(body) {
			t.Errorf("%s %s %.40s: %d %s, %v; want %d and %s", test.method, test.path, test.body, answer.StatusCode, body, err, test.code, test.want)
		}
		if curl == "" || len(test.body) > 1000 {
			continue
		}
		out, err := exec.Command(curl, "-s", "--path-as-is", "--unix-socket", filepath.Join(s.Folder(), socketFile), "-X", test.method, "-d", test.body, "http://vmm"+test.path).Output()
		if err != nil || !bytes.Contains(out, []byte(test.want)) {
			t.Errorf("curl %s %s: %s, %v", test.method, test.path, out, err)
		}
	}
}

// TestBadRequests sends what is no request, byte for byte.
func TestBadRequests(t *testing.T) {
	s := serve(t, t.TempDir(), "vm")
	for text, want := range map[string]string{
		"hello\r\n\r\n": "400", "GET /v1/machine\r\n\r\n": "400", "GET  HTTP/1.1\r\n\r\n": "400", "GET x HTTP/1.1\r\n\r\n": "400", "GET / HTTP/2\r\n\r\n": "400",
		"GET / HTTP/1.1\r\nbad header\r\n\r\n":                                        "400",
		"PUT /v1/limits HTTP/1.1\r\nContent-Length: -1\r\n\r\n":                       "400",
		"PUT /v1/limits HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}": "400",
		"PUT /v1/limits HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":      "501",
		"PUT /v1/limits HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n":               "413",
		"GET /" + strings.Repeat("a", maxHead) + " HTTP/1.1\r\n\r\n":                  "431",
		"GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", maxHead/6) + "\r\n":         "431",
		"GET /v1/machine HTTP/1.1\n\n":                                                "200", // a bare LF is forgiven (RFC 9112, section 2.2)
		"GET / HTTP/1.1\r\n":                                                          "",    // and no more
	} {
		conn, err := net.Dial("unix", filepath.Join(s.Folder(), socketFile))
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(conn, text)
		conn.(*net.UnixConn).CloseWrite()
		answer, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || want != "" && !strings.HasPrefix(string(answer), "HTTP/1.1 "+want) || want == "" && len(answer) != 0 {
			t.Errorf("%.60q: %.60q, %v; want %s", text, answer, err, want)
		}
	}
}

// TestSlowClients takes every place with clients that say nothing: they must not be able to take more, nor hold up the
// machine's end.
func TestSlowClients(t *testing.T) {
	s := serve(t, t.TempDir(), "vm")
	var conns []net.Conn
	for range maxClients {
		conn, err := net.Dial("unix", filepath.Join(s.Folder(), socketFile))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	c := Client{s.ID(), s.Folder(), patience}
	if _, err := c.Status(ctx); err == nil {
		t.Error("more clients are answered than there are places")
	}
	conns[0].Close()
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("with a place free: %v", err)
	}
	begin := time.Now()
	s.Close()
	if took := time.Since(begin); took >= patience {
		t.Errorf("Close waited %v for clients that say nothing", took)
	}
}

// TestDescription compares openapi.json with the code.
func TestDescription(t *testing.T) {
	var doc struct {
		Paths      map[string]map[string]any
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	described := 0
	for _, methods := range doc.Paths {
		described += len(methods)
	}
	if described != len(routes) {
		t.Errorf("%d operations are described, %d exist", described, len(routes))
	}
	for _, r := range routes {
		if doc.Paths[r.path][strings.ToLower(r.method)] == nil {
			t.Errorf("%s %s is not described", r.method, r.path)
		}
	}
	same := func(schema string, want []string) {
		t.Helper()
		var got []string
		for name := range doc.Components.Schemas[schema].Properties {
			got = append(got, name)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s is described with %v, and has %v", schema, got, want)
		}
	}
	same("Limits", config.LimitNames())
	for schema, v := range map[string]any{"Status": Status{}, "CPU": CPU{}, "Count": Count{}, "Disk": Disk{}, "NIC": NIC{}, "Refusal": Refusal{}, "Keys": Keys{}, "Pointer": Pointer{}, "Stop": Stop{}, "Link": Link{}, "ConsoleSize": ConsoleSize{}} {
		var names []string
		for i := range reflect.TypeOf(v).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(v).Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
		same(schema, names)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte("GET /v1/machine HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("PATCH /v1/limits HTTP/1.1\r\nContent-Length: 15\r\n\r\n{\"disk.iops\":1}"))
	f.Add([]byte("PUT /v1/limits HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readRequest(bytes.NewReader(b))
		if err != nil {
			return
		}
		if len(r.body) > maxBody || !strings.HasPrefix(r.path, "/") {
			t.Fatalf("%+v", r)
		}
		s := &Server{machine: &fakeMachine{}}
		if _, err := s.do(r); err != nil && !errors.As(err, new(*problem)) {
			t.Fatalf("%v is not for the client", err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, body, err := readAnswer(bytes.NewReader(b)); err == nil && len(body) > len(b) {
			t.Fatal("more came out than went in")
		}
	})
}
