package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sharevm/vmm/images/guest/lease"
	"golang.org/x/sys/unix"
)

// checkLen is how much a disk check writes, in bytes.
const checkLen = 8 << 20

// selfcheck is /bin/selfcheck [URL[#sha256=HEX]...]: it writes and reads back a file on the root disk and on the data disk, looks for the
// DHCP lease, and fetches pages. Each thing that works is a line of the form "self-check: THING ok: DETAILS".
func selfcheck(pages []string) error {
	for _, dir := range []string{"/root", "/data"} {
		if err := checkDisk(dir); err != nil {
			return fmt.Errorf("disk under %s: %w", dir, err)
		}
		fmt.Printf("self-check: disk under %s ok: %d MiB written, synced, dropped from the cache, read back\n", dir, checkLen>>20)
	}
	given, err := os.ReadFile(lease.File)
	if err != nil {
		return fmt.Errorf("no DHCP lease: %w", err)
	}
	fmt.Printf("self-check: DHCP lease ok: %s\n", given)
	for _, page := range pages {
		body, err := fetch(page)
		if err != nil {
			return fmt.Errorf("fetching %s: %w", page, err)
		}
		sum := fmt.Sprintf("%x", sha256.Sum256(body))
		if _, want, ok := strings.Cut(page, "#sha256="); ok && want != sum {
			return fmt.Errorf("fetching %s: %d bytes came, with the hash %s", page, len(body), sum)
		}
		fmt.Printf("self-check: web page ok: %d bytes, SHA-256 %s\n", len(body), sum)
	}
	return nil
}

// checkDisk writes random bytes, makes the kernel forget them, and compares what it reads.
func checkDisk(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return err
	}
	if dir == "/data" {
		var root unix.Stat_t
		if err := unix.Stat("/", &root); err != nil {
			return err
		}
		if st.Dev == root.Dev {
			return fmt.Errorf("%w: no second disk is mounted", fs.ErrNotExist)
		}
	}
	want := make([]byte, checkLen)
	if _, err := rand.Read(want); err != nil {
		return err
	}
	name := filepath.Join(dir, ".check")
	defer os.Remove(name)
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(want); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		return err
	}
	got, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("read back something else than was written")
	}
	return nil
}

// fetch gets a page by HTTP/1.0, without the size of net/http, and returns it.
func fetch(page string) ([]byte, error) {
	u, err := url.Parse(page)
	if err != nil {
		return nil, err
	}
	host := u.Host
	if u.Port() == "" {
		host += ":80"
	}
	conn, err := net.DialTimeout("tcp", host, 10*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", u.RequestURI(), u.Host); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(conn, 64<<20))
	if err != nil {
		return nil, err
	}
	head, body, ok := strings.Cut(string(b), "\r\n\r\n")
	status := strings.Fields(head)
	if !ok || len(status) < 2 || status[1] != "200" {
		return nil, fmt.Errorf("the server answered %.60q", head)
	}
	return []byte(body), nil
}
