package main

import (
	"bytes"
	"crypto/rand"
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

	"golang.org/x/sys/unix"
)

// checkLen is how much a disk check writes, in bytes.
const checkLen = 8 << 20

// selfcheck is /bin/selfcheck [URL]: it writes and reads back a file on the root disk and on the data disk, looks for an address by DHCP, and
// fetches a page.
func selfcheck(args []string) error {
	for _, dir := range []string{"/root", "/data"} {
		if err := checkDisk(dir); err != nil {
			return fmt.Errorf("disk under %s: %w", dir, err)
		}
		say("check disk under %s ok", dir)
	}
	ifc, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	addrs, err := ifc.Addrs()
	if err != nil {
		return err
	}
	if len(addrs) == 0 {
		return errors.New("eth0 has no address")
	}
	say("check network ok: %v", addrs[0])
	for _, u := range args {
		n, err := fetch(u)
		if err != nil {
			return fmt.Errorf("fetching %s: %w", u, err)
		}
		say("check fetch of %s ok: %d bytes", u, n)
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

// fetch gets a page by HTTP/1.0, without the size of net/http, and returns its length.
func fetch(page string) (int, error) {
	u, err := url.Parse(page)
	if err != nil {
		return 0, err
	}
	host := u.Host
	if u.Port() == "" {
		host += ":80"
	}
	conn, err := net.DialTimeout("tcp", host, 10*time.Second)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", u.RequestURI(), u.Host); err != nil {
		return 0, err
	}
	b, err := io.ReadAll(io.LimitReader(conn, 64<<20))
	if err != nil {
		return 0, err
	}
	head, body, ok := strings.Cut(string(b), "\r\n\r\n")
	status := strings.Fields(head)
	if !ok || len(status) < 2 || status[1] != "200" {
		return 0, fmt.Errorf("the server answered %.60q", head)
	}
	return len(body), nil
}
