package tools_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
)

// ext4Disk is a disk of noise with an ext4 on it, that holds one file of noise.
func ext4Disk(t testing.TB, size int) (content, file []byte) {
	t.Helper()
	mke2fs := disktest.FindTool(t, "mke2fs", "e2fsprogs")
	d := dir(t)
	content, file = make([]byte, size), make([]byte, mib)
	rng := rand.New(rand.NewPCG(1, 9))
	for _, p := range [][]byte{content, file} {
		for k := range p {
			p[k] = byte(rng.Uint32()) | 1
		}
	}
	must(t, os.Mkdir(in(d, "tree"), 0o700))
	must(t, os.WriteFile(in(d, "tree/file"), file, 0o600))
	must(t, os.WriteFile(in(d, "a.raw"), content, 0o600))
	mke2fs.Run("-q", "-F", "-t", "ext4", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", "-d", in(d, "tree"), in(d, "a.raw"))
	content, err := os.ReadFile(in(d, "a.raw"))
	must(t, err)
	return content, file
}

// TestCompactFree gives back what an ext4 does not use, and has e2fsprogs judge the rest.
func TestCompactFree(t *testing.T) {
	e2fsck, debugfs := disktest.FindTool(t, "e2fsck", "e2fsprogs"), disktest.FindTool(t, "debugfs", "e2fsprogs")
	content, file := ext4Disk(t, 10*mib)
	test := func(t *testing.T, k kind) {
		d := dir(t)
		path := image(t, in(d, k.file), content, k.o)
		before := files(t, d)
		dry, err := tools.Compact(t.Context(), path, tools.CompactOptions{Free: true, DryRun: true})
		must(t, err)
		stillAs(t, d, before)
		r, err := tools.Compact(t.Context(), path, tools.CompactOptions{Free: true})
		must(t, err)
		if len(r.Skipped) > 0 || dry.Free != r.Free || r.Free < 4*mib || r.After > r.Before-4*mib {
			t.Errorf("%+v; announced %+v", r, dry)
		}
		spotless(t, path)
		raw := in(d, "out.raw")
		must(t, os.WriteFile(raw, contentOf(t, path), 0o600))
		e2fsck.Run("-f", "-n", raw)
		debugfs.Run("-R", "dump /file "+in(d, "file"), raw)
		if got, err := os.ReadFile(in(d, "file")); err != nil || !bytes.Equal(got, file) {
			t.Errorf("the file on the disk has changed (%v)", err)
		}
	}
	for _, k := range kinds() { // not at the same time: a program that is being started holds the locks of all images that are open
		t.Run(k.name, func(t *testing.T) { test(t, k) })
	}
}

// TestCompactFreeUnsure has a file system that was not unmounted.
func TestCompactFreeUnsure(t *testing.T) {
	content, _ := ext4Disk(t, 8*mib)
	content[1024+0x3a] &^= 1 // the state: not clean
	d := dir(t)
	path := image(t, in(d, "a.vmdk"), content, disk.CreateOptions{})
	r, err := tools.Compact(t.Context(), path, tools.CompactOptions{Free: true})
	must(t, err)
	if r.Free > 0 || len(r.Skipped) != 1 || !strings.Contains(r.Skipped[0], "ext4") {
		t.Errorf("%+v", r)
	}
	hold(t, path, content)
}

// TestCompactChain compacts the top of a chain: what it holds as zeroes hides what the parent holds.
func TestCompactChain(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		if k.flat || compresses(k) || strings.HasPrefix(k.name, "vmdk twoGb") || strings.HasPrefix(k.name, "vdi") {
			t.Skip("not for chains")
		}
		d := dir(t)
		base := image(t, in(d, "base-"+k.file), mixed(8*mib, 1), k.o)
		path := in(d, k.file)
		o := disk.CreateOptions{Parent: base}
		must(t, formats.Create(path, o))
		want := contentOf(t, path)
		clear(want[mib : 5*mib])
		copy(want[5*mib:], bytes.Repeat([]byte("own"), 1000))
		i, err := openWrite(path)
		must(t, err)
		_, err = i.WriteAt(want[mib:5*mib], mib)
		must(t, err)
		_, err = i.WriteAt(want[5*mib:6*mib], 5*mib)
		must(t, err)
		must(t, i.Close())
		r, err := tools.Compact(t.Context(), path, tools.CompactOptions{})
		must(t, err)
		if r.Zero+r.Kept < 2*mib || r.After > r.Before {
			t.Errorf("%+v", r)
		}
		hold(t, path, want)
		_, err = tools.Defrag(t.Context(), path, tools.DefragOptions{})
		must(t, err)
		hold(t, path, want)
	})
}
