package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
)

// needFUSE skips the test where nothing can be mounted.
func needFUSE(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("mounting needs FUSE: %v", err)
	}
	f.Close()
}

// TestDiskMount mounts images in all modes, and looks at what is left of them.
func TestDiskMount(t *testing.T) {
	needFUSE(t)
	dd := disktest.FindTool(t, "dd", "coreutils")
	fusermount := disktest.FindTool(t, "fusermount3", "fuse3")
	for _, c := range []struct {
		name   string
		args   []string
		signal syscall.Signal // 0: fusermount3 -u
		says   string
		writes bool // are possible
		kept   bool
	}{
		{"read-only", nil, syscall.SIGINT, "read-only", false, false},
		{"read-write", []string{"--read-write"}, syscall.SIGTERM, "can be written", true, true},
		{"unmounted", []string{"--read-write"}, 0, "can be written", true, true},
		{"snapshot", []string{"--snapshot"}, syscall.SIGINT, "what is written is forgotten at the end", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path, place := filepath.Join(dir, "disk.vhdx"), filepath.Join(dir, "place")
			if err := errors.Join(formats.Create(path, disk.CreateOptions{Size: 4 << 20}), os.Mkdir(place, 0o700)); err != nil {
				t.Fatal(err)
			}
			b := startDisk(t, append([]string{"mount", path, place}, c.args...)...)
			file := filepath.Join(place, "disk.vhdx.raw")
			if s, want := b.line(), file+": 4 MiB, "+c.says+"; Ctrl-C ends it"; s != want {
				t.Errorf("it says %q, want %q", s, want)
			}
			in := filepath.Join(dir, "in")
			write(t, in, bytes.Repeat([]byte{9}, 4096))
			if out, code := dd.Try("if="+in, "of="+file, "bs=4096", "seek=256", "conv=notrunc", "status=none"); (code == 0) != c.writes {
				t.Errorf("dd: %d: %s", code, out)
			}
			if c.signal == 0 {
				fusermount.Run("-u", place)
			}
			b.end(c.signal)
			if left, err := os.ReadDir(place); err != nil || len(left) != 0 {
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

// TestDiskMountBusy ends the command while the file is open: it waits for that, or for a second signal.
func TestDiskMountBusy(t *testing.T) {
	needFUSE(t)
	for _, twice := range []bool{false, true} {
		dir := t.TempDir()
		path, place := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "place")
		write(t, path, make([]byte, 8192))
		write(t, place, nil)
		b := startDisk(t, "mount", "--json", path, place)
		var info struct{ File string }
		if err := json.Unmarshal([]byte(b.line()), &info); err != nil || info.File != place {
			t.Fatalf("%+v, %v", info, err)
		}
		fd, err := unix.Open(place, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		for { // until it has left the folder tree, where the empty file comes to light again
			if st, err := os.Stat(place); err != nil || st.Size() == 0 {
				break
			}
		}
		if twice {
			err = b.cmd.Process.Signal(os.Interrupt)
		} else {
			err = unix.Close(fd)
		}
		if err != nil {
			t.Fatal(err)
		}
		err = b.cmd.Wait()
		if (err != nil) != twice || !strings.Contains(b.stderr.String(), "is open in another program") {
			t.Errorf("twice %v: %v, %s", twice, err, b.stderr.String())
		}
		if twice {
			unix.Close(fd)
		}
	}
}

func TestDiskMountRefuses(t *testing.T) {
	needFUSE(t)
	t.Chdir(t.TempDir())
	write(t, "a.raw", make([]byte, 512))
	for args, want := range map[string]string{
		"mount a.raw none": "no such file", "mount none.raw .": "no such file", "mount a.raw /dev/null": "neither a folder nor an ordinary file",
		"mount a.raw": "mount takes FILE PLACE", "mount --snapshot --read-write a.raw .": "--read-write and --snapshot exclude each other",
		"mount a.raw .": "the folder is not empty", "mount a.raw a.raw": "it is part of the image",
	} {
		if stdout, stderr, code := vmmDisk(t.Context(), strings.Fields(args)...); code == 0 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("vmm disk %s: %d: %s%s", args, code, stdout, stderr)
		}
	}
}
