package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
)

// background is a vmm disk command that runs until it is told to end.
type background struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *bufio.Reader
	stderr bytes.Buffer
}

// startDisk starts vmm disk with args as a process of its own.
func startDisk(t *testing.T, args ...string) *background {
	t.Helper()
	b := &background{t: t, cmd: exec.Command(os.Args[0], append([]string{"disk"}, args...)...)}
	b.cmd.Env = append(os.Environ(), selfEnv+"=1", "XDG_RUNTIME_DIR=")
	b.cmd.Stderr = &b.stderr
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	b.out = bufio.NewReader(out)
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.cmd.Process.Kill() })
	return b
}

// line returns the next line that the command prints.
func (b *background) line() string {
	b.t.Helper()
	s, err := b.out.ReadString('\n')
	if err != nil {
		b.t.Fatalf("%v: %s", errors.Join(err, b.cmd.Wait()), b.stderr.String())
	}
	return strings.TrimSuffix(s, "\n")
}

// end sends a signal, if not 0, and waits for a good end with nothing on standard error.
func (b *background) end(s syscall.Signal) {
	b.t.Helper()
	if s != 0 {
		if err := b.cmd.Process.Signal(s); err != nil {
			b.t.Fatal(err)
		}
	}
	_, _ = io.Copy(io.Discard, b.out)
	if err := b.cmd.Wait(); err != nil || b.stderr.Len() > 0 {
		b.t.Errorf("at the end: %v, %s", err, b.stderr.String())
	}
}

// TestDiskServe serves images in all modes, and looks at what is left of them.
func TestDiskServe(t *testing.T) {
	qemu := disktest.FindTool(t, "qemu-io", "qemu-utils")
	for _, c := range []struct {
		name   string
		args   []string
		signal syscall.Signal
		says   string
		writes bool // are possible
		kept   bool
	}{
		{"plain", nil, syscall.SIGINT, ": vhdx, 4 MiB", true, true},
		{"terminated", nil, syscall.SIGTERM, ": vhdx, 4 MiB", true, true},
		{"read-only", []string{"--read-only"}, syscall.SIGINT, ": vhdx, 4 MiB, read-only", false, false},
		{"snapshot", []string{"--snapshot"}, syscall.SIGINT, ": vhdx, 4 MiB, what is written is forgotten at the end", true, false},
		{"once", []string{"--once", "--name", "a disk"}, 0, ": vhdx, 4 MiB", true, true},
		{"tcp", []string{"--listen", "127.0.0.1:0"}, syscall.SIGINT, ": vhdx, 4 MiB", true, true},
		{"socket", []string{"--socket", "S"}, syscall.SIGINT, ": vhdx, 4 MiB", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "disk.vhdx")
			if err := formats.Create(path, disk.CreateOptions{Size: 4 << 20}); err != nil {
				t.Fatal(err)
			}
			for k := range c.args {
				if c.args[k] == "S" {
					c.args[k] = filepath.Join(dir, "S & a+b%")
				}
			}
			b := startDisk(t, append([]string{"serve", path}, c.args...)...)
			if s := b.line(); s != path+c.says {
				t.Errorf("first line %q", s)
			}
			uri, hint := b.line(), b.line()
			if !strings.Contains(hint, uri) || !strings.Contains(hint, "Ctrl-C") {
				t.Errorf("hint %q", hint)
			}
			if socket := filepath.Join(dir, "disk.vhdx.nbd"); c.name == "plain" {
				if st, err := os.Stat(socket); err != nil || st.Mode() != os.ModeSocket|0o600 {
					t.Errorf("socket: %v, %v", st, err)
				}
			}
			if out, code := qemu.Try("-f", "raw", "-c", "write -P 9 1M 64k", uri); (code == 0) != c.writes {
				t.Errorf("qemu-io: %d: %s", code, out)
			}
			b.end(c.signal)
			if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
				t.Errorf("left: %v, %v", left, err)
			}
			i, err := formats.Open(path, disk.OpenOptions{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			defer i.Close()
			p := make([]byte, 1)
			if _, err := i.ReadAt(p, 1<<20); err != nil || i.Info().Unclean || (p[0] == 9) != c.kept {
				t.Errorf("the image holds %d, unclean %v, %v", p[0], i.Info().Unclean, err)
			}
		})
	}
}

func TestDiskServeJSON(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.vmdk")
	if err := formats.Create(path, disk.CreateOptions{Size: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	b := startDisk(t, "serve", "--json", "--name", "x", "--read-only", path)
	var info struct {
		URI, Socket, Name, Format string
		Size                      int64
		ReadOnly                  bool `json:"read_only"`
	}
	if err := json.Unmarshal([]byte(b.line()), &info); err != nil {
		t.Fatal(err)
	}
	if info.Socket != path+".nbd" || info.URI != "nbd+unix:///x?socket="+info.Socket || info.Name != "x" || info.Format != "vmdk" || info.Size != 1<<20 || !info.ReadOnly {
		t.Errorf("%+v", info)
	}
	b.end(syscall.SIGINT)
}

// TestDiskServeRefuses checks what is refused, and that nothing of it harms what is there.
func TestDiskServeRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("XDG_RUNTIME_DIR", "")
	write(t, "a.raw", make([]byte, 512))
	write(t, "file", []byte("precious"))
	live, err := net.Listen("unix", "live")
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	go func() {
		for {
			c, err := live.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	for _, c := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"serve a.raw --listen 0.0.0.0:10809", 2, "--listen-anywhere allows it"},
		{"serve a.raw --listen :10809", 2, "--listen-anywhere allows it"},
		{"serve a.raw --listen example.org:10809", 2, "--listen-anywhere allows it"},
		{"serve a.raw --listen 127.0.0.1", 2, "--listen"},
		{"serve a.raw --listen 127.0.0.1:1 --socket x", 2, "--socket and --listen exclude each other"},
		{"serve a.raw --snapshot --read-only", 2, "--read-only and --snapshot exclude each other"},
		{"serve a.raw --socket live", 1, "another program is serving there"},
		{"serve a.raw --socket file", 1, "file already exists"},
		{"serve a.raw --socket none/s", 1, "no such file"},
		{"serve a.raw --socket " + strings.Repeat("x", 120), 1, "too long for a Unix socket"},
		{"serve a.raw --name " + strings.Repeat("x", 5000), 1, "cannot be the name"},
		{"serve none.raw", 1, "no such file"},
		{"serve", 2, "serve takes FILE, and not 0 arguments"},
	} {
		stdout, stderr, code := vmmDisk(t.Context(), strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.stderr) || stdout != "" {
			t.Errorf("vmm disk %.60s: exit code %d, want %d\n%s%s", c.args, code, c.code, stdout, stderr)
		}
	}
	if p, err := os.ReadFile("file"); err != nil || string(p) != "precious" {
		t.Errorf("the file: %q, %v", p, err)
	}
}

// TestDiskServeStaleSocket takes the place of a socket that nobody listens on.
func TestDiskServeStaleSocket(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "a.raw", make([]byte, 512))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: "s", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it shall end at once
	if stdout, stderr, code := vmmDisk(ctx, "serve", "a.raw", "--socket", "s"); code != 0 || stderr != "" || !strings.Contains(stdout, "nbd+unix:///?socket=") {
		t.Errorf("%d: %s%s", code, stdout, stderr)
	}
	if _, err := os.Lstat("s"); err == nil {
		t.Error("its socket is left")
	}
}
