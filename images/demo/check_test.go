package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

const goodGuest = `vmm-guest: init after 1.0 s
vmm-guest: ready after 2.0 s
self-check: disk under /root ok: 8 MiB
self-check: disk under /data ok: 8 MiB
self-check: DHCP lease ok: eth0 has 10.0.2.15/24
self-check: web page ok: 262144 bytes
self-check: passed
vmm-guest: exit status 0
`

// fakeVMM is a program that says what a guest would, and leaves its arguments in a file.
func fakeVMM(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vmm")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho \"$@\" > \"$0.args\"\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// disks is a machine's folder with empty disks.
func disks(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{rootName, dataName} {
		if err := formats.Create(filepath.Join(dir, name), disk.CreateOptions{Size: 16 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheck(t *testing.T) {
	say := func(s string) string { return "cat <<'END'\n" + strings.ReplaceAll(s, "\n", "\r\n") + "END\n" }
	for _, c := range []struct {
		name, script, err string
	}{
		{"good", say(goodGuest), ""},
		{"no lease", say(strings.ReplaceAll(goodGuest, "DHCP lease ok", "DHCP lease bad")), `did not say "self-check: DHCP lease ok"`},
		{"failed", say("self-check: failed: no\n"), `did not say "self-check: disk under /root ok"`},
		{"vmm failed", say(goodGuest) + "exit 3\n", "exit status 3"},
		{"hangs", "echo vmm-guest: init; exec sleep 60\n", `did not power off within 500ms; its last line was "vmm-guest: init"`},
		{"endless line", say(strings.Repeat("x", 10*maxLine) + "\n" + goodGuest), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			timeout := time.Minute
			if c.name == "hangs" {
				timeout = 500 * time.Millisecond
			}
			err := check(t.Context(), fakeVMM(t, c.script), disks(t), timeout)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%v, want %q", err, c.err)
			}
		})
	}
}

func TestCheckLooksAtTheDisks(t *testing.T) {
	dir := disks(t)
	// The byte is in the dynamic header's table offset: the footer stays whole.
	path := filepath.Join(dir, dataName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[512+16] ^= 0x40
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	err = check(t.Context(), fakeVMM(t, "cat <<'END'\n"+goodGuest+"END\n"), dir, time.Minute)
	if err == nil || !strings.Contains(err.Error(), dataName) {
		t.Errorf("a damaged disk: %v", err)
	}
}

func TestCheckStopsWhenTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := check(ctx, fakeVMM(t, "exec sleep 60\n"), disks(t), time.Minute); err != context.Canceled {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}

// TestPage holds that the page has the hash that the guest is told, under the address that it is told.
func TestPage(t *testing.T) {
	url, stop, err := serve()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	page, sum, _ := strings.Cut(url, "#sha256=")
	resp, err := http.Get(strings.Replace(page, "10.0.2.2", "127.0.0.1", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(body)); got != sum || len(body) != pageSize {
		t.Errorf("%d bytes with the hash %s came, want %d with %s", len(body), got, pageSize, sum)
	}
}
