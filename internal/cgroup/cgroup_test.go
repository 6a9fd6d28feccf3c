package cgroup

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestFindGroup(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const mounts = `24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 24 0:26 / /sys/fs/cgroup\040two rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
`
	if at, err := mountPoint(write("mountinfo", mounts)); err != nil || at != "/sys/fs/cgroup two" {
		t.Errorf("%q, %v", at, err)
	}
	if _, err := mountPoint(write("none", "24 1 8:1 / / rw - ext4 a rw\nshort\n\n - cgroup2 x\n")); err == nil {
		t.Error("a mount was found where there is none")
	}
	for text, want := range map[string]string{
		"0::/user.slice/a.scope\n": "/user.slice/a.scope", "12:cpu:/x\n0::/\n": "/", "0::/../above\n": "", "12:cpu:/x\n": "", "": "", "0::relative\n": "",
	} {
		if got, err := ownGroup(write("cgroup", text)); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}

// TestOwn refuses a group with other processes.
func TestOwn(t *testing.T) {
	proc, mount := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		filepath.Join(proc, "mountinfo"): "30 24 0:26 / " + mount + " rw - cgroup2 cgroup2 rw\n", filepath.Join(proc, "cgroup"): "0::/a\n", filepath.Join(mount, "a", "cgroup.procs"): "1\n2\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Own(proc); err == nil || !strings.Contains(err.Error(), "systemd-run") {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(mount, "a", "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if dir, err := Own(proc); err != nil || dir != filepath.Join(mount, "a") || !IsRoot(dir) {
		t.Errorf("%s, %v", dir, err)
	}
}
