package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// pageSize is what the guest fetches, in bytes: more than fits into one segment or window.
const pageSize = 256 << 10

// wanted are the lines by which the guest says that something works.
var wanted = []string{
	"self-check: disk under /root ok", "self-check: disk under /data ok", "self-check: DHCP lease ok", "self-check: web page ok",
	"self-check: passed",
}

// readyLine begins the line by which the guest says that it has booted.
const readyLine = "vmm-guest: ready after "

// check boots the machine on this host's KVM, lets it check itself, and looks at its disks afterwards.
func check(ctx context.Context, vmm, folder string, timeout time.Duration) error {
	start := time.Now()
	if n, err := strconv.ParseInt(os.Getenv(nestedStart), 10, 64); err == nil {
		start = time.UnixMilli(n)
	}
	url, stop, err := serve()
	if err != nil {
		return fmt.Errorf("self-check: %w", err)
	}
	defer stop()
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	t := transcript{missing: wanted}
	err = t.boot(limited, vmm, folder, url)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return fmt.Errorf("self-check: the machine did not power off within %v; its last line was %q", timeout, t.last)
	case err != nil:
		return fmt.Errorf("self-check: %w", err)
	case len(t.missing) > 0:
		return fmt.Errorf("self-check: the guest did not say %q", t.missing[0])
	}
	for _, name := range []string{rootName, dataName} {
		if err := checkImage(filepath.Join(folder, name)); err != nil {
			return fmt.Errorf("self-check: %w", err)
		}
	}
	fmt.Printf("self-check: images ok: %s and %s hold no error after power-off\n", rootName, dataName)
	fmt.Printf("self-check passed in %.1f s (boot %.1f s)\n", time.Since(start).Seconds(), t.boots.Seconds())
	return nil
}

// serve offers a page of random bytes on the loopback, and returns where the guest finds it and what it has to be.
func serve() (url string, stop func(), err error) {
	page := make([]byte, pageSize)
	if _, err := rand.Read(page); err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{
		ReadTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(page) // the guest notices what is missing
		}),
	}
	go func() { _ = server.Serve(l) }() // ends with Close
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("http://10.0.2.2:%s/page#sha256=%x", port, sha256.Sum256(page)), func() { _ = server.Close() }, nil
}

// transcript follows what the guest says.
type transcript struct {
	missing []string // of wanted, in this order
	boots   time.Duration
	last    string // line
}

// boot runs the machine until it is off.
func (t *transcript) boot(ctx context.Context, vmm, folder, url string) error {
	port := strings.SplitN(strings.TrimPrefix(url, "http://10.0.2.2:"), "/", 2)[0]
	cmd := exec.CommandContext(ctx, vmm, "run", "--timeline", "--no-reboot", "--host-access", port,
		"--append", "-- selfcheck "+url, filepath.Join(folder, vmxName))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	t.follow(io.TeeReader(out, os.Stdout), started)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("vmm run: %w", err)
	}
	return nil
}

// maxLine bounds what is kept of a line of the guest's, in bytes.
const maxLine = 4096

// follow reads what the guest says to its end.
func (t *transcript) follow(r io.Reader, started time.Time) {
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		t.line(string(bytes.TrimSpace(line)), started)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (t *transcript) line(s string, started time.Time) {
	if s == "" {
		return
	}
	t.last = s
	if strings.HasPrefix(s, readyLine) && t.boots == 0 {
		t.boots = time.Since(started)
	}
	if len(t.missing) > 0 && strings.HasPrefix(s, t.missing[0]) {
		t.missing = t.missing[1:]
	}
}

// checkImage holds that an image's metadata are sound.
func checkImage(path string) error {
	r, err := formats.Check(path, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("checking %s: %w", path, err)
	}
	if len(r.Problems) > 0 {
		return fmt.Errorf("checking %s: %v at byte %d: %s", path, r.Problems[0].Severity, r.Problems[0].Offset, r.Problems[0].What)
	}
	return nil
}
