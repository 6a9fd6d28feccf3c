package tools_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
)

// TestReplaced has images put in the place of others: who may use them must not change by that.
func TestReplaced(t *testing.T) {
	d := dir(t)
	stream := image(t, in(d, "s.vmdk"), mixed(mib, 1), disk.CreateOptions{Variant: "streamOptimized"})
	qcow2, err := formats.Find("a.qcow2", "")
	must(t, err)
	child, _, _, _ := pair(t, d, qcow2, qcow2, pairSize, nil)
	out := image(t, in(d, "out.vhd"), nil, disk.CreateOptions{Size: mib})
	for _, tt := range []struct {
		path string
		work func() error
	}{
		{stream, func() error {
			_, err := tools.Compact(t.Context(), stream, tools.CompactOptions{})
			return err
		}},
		{child, func() error {
			_, err := tools.Commit(t.Context(), child, tools.CommitOptions{})
			return err
		}},
		{out, func() error {
			_, err := tools.Convert(t.Context(), stream, out, tools.ConvertOptions{Force: true})
			return err
		}},
	} {
		uid := os.Getuid()
		if uid == 0 {
			uid = 1234
		}
		must(t, os.Chown(tt.path, uid, -1))
		must(t, os.Chmod(tt.path, 0o640))
		var before, after unix.Stat_t
		must(t, unix.Stat(tt.path, &before))
		must(t, tt.work())
		must(t, unix.Stat(tt.path, &after))
		if after.Ino == before.Ino {
			t.Errorf("%s was not replaced", tt.path)
		}
		if after.Mode != before.Mode || after.Uid != before.Uid || after.Gid != before.Gid {
			t.Errorf("%s: mode %o of %d:%d, was %o of %d:%d", tt.path, after.Mode, after.Uid, after.Gid, before.Mode, before.Uid, before.Gid)
		}
	}
}

// TestCompactLink has a symbolic link lead to an image that can only be made anew: the link must not be replaced, and the image not be left behind.
func TestCompactLink(t *testing.T) {
	d := dir(t)
	stream := image(t, in(d, "s.vmdk"), mixed(mib, 1), disk.CreateOptions{Variant: "streamOptimized"})
	link := in(d, "link.vmdk")
	must(t, os.Symlink(filepath.Base(stream), link))
	if _, err := tools.Compact(t.Context(), link, tools.CompactOptions{}); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("%v", err)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", st, err)
	}
}
