package guesttest

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestBackgroundGroup runs a session where it may make control groups: the machine behind has the least weight, the one in front its full one, also after a turn, and nothing is left
// of the groups.
func TestBackgroundGroup(t *testing.T) {
	needGuests(t)
	const groups = "/sys/fs/cgroup"
	if err := unix.Mount("none", groups, "cgroup2", 0, ""); err == nil {
		t.Cleanup(func() { _ = unix.Unmount(groups, unix.MNT_DETACH) })
	} else if !errors.Is(err, unix.EBUSY) {
		t.Fatal("mount cgroup2:", err)
	}
	runtime := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	var files []string
	for _, name := range []string{"one", "two"} {
		f := newFile(t, "console:/dev/hvc0")
		f.set("displayName", name)
		f.set("vmm.overlay", "disposable")
		files = append(files, f.write(t))
	}
	const at = "127.0.0.1:5946"
	c, g := sessionOf(t, at, files...)
	v := dialViewer(t, at)
	weight := func(i int) string {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(processOf(t, files[i], c.Process.Pid)), "cgroup"))
		if err != nil {
			return ""
		}
		_, path, _ := strings.Cut(strings.TrimSpace(string(b)), "0::")
		w, _ := os.ReadFile(filepath.Join(groups, path, "cpu.weight"))
		return strings.TrimSpace(string(w))
	}
	eventually(t, "the first is in front", func() bool { return weight(0) == "100" && weight(1) == "1" })
	v.key(symF4)
	eventually(t, "the second is in front", func() bool { return weight(0) == "1" && weight(1) == "100" })
	kill(t, c.Process.Pid, syscall.SIGTERM)
	if err := g.wait(); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(groups, "vmm-*")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}
