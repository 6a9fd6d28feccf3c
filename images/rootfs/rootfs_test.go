package rootfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/images/initramfs"
)

func TestBuild(t *testing.T) {
	if _, err := os.Stat("/usr/sbin/mkfs.ext4"); err != nil {
		t.Skip("no mkfs.ext4 here (Debian package e2fsprogs):", err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "image")
	c := Config{Size: 16 << 20, Label: "testing", Dirs: []string{"proc"}, Files: []initramfs.File{
		{Name: "/etc/motd", Data: []byte("welcome\n")}, {Name: "bin/sh", Link: "bb"}, {Name: "sbin/init", Mode: 0o755, Data: []byte("x")},
	}}
	if err := Build(t.Context(), path, c); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() != c.Size {
		t.Errorf("%v, %v", st, err)
	}
	if out, err := exec.Command("/usr/sbin/e2fsck", "-fn", path).CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %v\n%s", err, out)
	}
	for request, want := range map[string]string{
		"cat /etc/motd": "welcome", "stat /bin/sh": `Fast link dest: "bb"`, "stat /sbin/init": "Mode:  0755", "stat /proc": "Type: directory",
	} {
		out, err := exec.Command("/usr/sbin/debugfs", "-R", request, path).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, no %q in\n%s", request, err, want, out)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
		t.Errorf("beside the image there are %v, %v", left, err)
	}
}

func TestBuildRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "image")
	for name, c := range map[string]Config{
		"too small":       {Size: 4096},
		"odd size":        {Size: 16<<20 + 1},
		"outside of it":   {Size: 16 << 20, Files: []initramfs.File{{Name: "../../escape", Data: []byte("x")}}},
		"no such file":    {Size: 16 << 20, Files: []initramfs.File{{Name: "a", Path: "/no/such/file"}}},
		"two of one name": {Size: 16 << 20, Files: []initramfs.File{{Name: "a", Link: "b"}, {Name: "a", Link: "c"}}},
	} {
		if err := Build(t.Context(), path, c); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: left an image", name)
		}
	}
}
