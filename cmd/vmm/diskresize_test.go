package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// TestDiskInPlace runs the commands that change images in place, one after the other in one folder.
func TestDiskInPlace(t *testing.T) {
	t.Chdir(t.TempDir())
	content := append(bytes.Repeat([]byte("the quick brown fox "), 50_000), make([]byte, 4<<20)...)
	content = content[:len(content)/512*512]
	write(t, "in.raw", content)
	must := func(args string) {
		t.Helper()
		if _, stderr, code := vmmDisk(t.Context(), strings.Fields(args)...); code != 0 {
			t.Fatalf("vmm disk %s: %s", args, stderr)
		}
	}
	for _, name := range []string{"a.vmdk", "a.vhdx", "a.vhd", "a.qcow2"} {
		must("convert in.raw " + name)
	}
	must("convert in.raw s.vmdk --variant streamOptimized")
	must("create base.vmdk 1M")
	must("create child.vmdk --parent base.vmdk")
	p, err := os.ReadFile("a.vhd")
	if err != nil {
		t.Fatal(err)
	}
	clear(p[len(p)-512:])
	write(t, "broken.vhd", p)
	for _, c := range []struct {
		args   string
		code   int
		stdout string // what it begins with, or holds after *
		stderr string // what it holds; if empty, nothing may be printed
	}{
		{"resize a.vhdx +20M --dry-run", 0, "a.vhdx: would have 25.0 MiB, had 5.0 MiB; nothing was changed\n", ""},
		{"resize a.vhdx +20M", 0, "a.vhdx: now has 25.0 MiB, had 5.0 MiB\n", ""},
		{"resize a.vhdx -512K", 0, "a.vhdx: now has 24.5 MiB, had 25.0 MiB\n", ""},
		{"resize a.vhdx -20G", 1, "", "cannot lose 20 GiB"},
		{"resize a.vhdx 100K", 1, "", "it cannot be made that small: there is data behind byte"},
		{"resize --json a.vmdk 8M", 0, `{"path":"a.vmdk","before":`, ""},
		{"resize a.vmdk 8M", 0, "a.vmdk: now has 8 MiB, had 8 MiB\n", ""},
		{"resize base.vmdk 8M", 1, "", "other images are based on it: child.vmdk; commit or flatten them first"},
		{"resize a.vmdk", 2, "", "SIZE is missing"},
		{"resize a.vmdk 5M -5M", 2, "", "SIZE is missing, or there is more than one"},
		{"resize a.vmdk lots", 2, "", "not a size"},
		{"resize a.vmdk +-5M", 2, "", "not a size"},
		{"resize none.vmdk 5M", 1, "", "no such file"},
		{"compact a.qcow2 --dry-run", 0, "a.qcow2: would give up 0 B of zeroes; nothing was changed\n", ""},
		{"compact a.qcow2", 0, "a.qcow2: gave up 0 B of zeroes; takes ", ""},
		{"compact --free a.vhdx", 0, "*and 0 B that no file system uses", "The free space of the disk was left alone: it holds no file system"},
		{"compact --json a.vhd", 0, `{"path":"a.vhd","zero":`, ""},
		{"compact in.raw", 0, "in.raw: gave up ", "preallocated"},
		{"compact s.vmdk", 0, "s.vmdk: gave up ", "made anew"},
		{"compact base.vmdk", 1, "", "other images are based on it"},
		{"compact a.vhd --lose-shadow-copies", 2, "", "needs --free"},
		{"compact none.vhd", 1, "", "no such file"},
		{"defrag --dry-run a.vmdk", 0, "*fragment; nothing was changed\n", ""},
		{"defrag a.vmdk", 0, "*in 1 fragment, 1 before; 0 B were moved\n", ""},
		{"defrag --json a.vhdx", 0, `{"path":"a.vhdx","blocks":1,"before":1,"after":1,"moved":0}` + "\n", ""},
		{"defrag in.raw", 1, "", "preallocated"},
		{"defrag s.vmdk", 1, "", "compressed"},
		{"defrag base.vmdk", 1, "", "other images are based on it"},
		{"check broken.vhd", 1, "broken.vhd: repairable: ", ""},
		{"check broken.vhd --undo x", 2, "", "--undo needs --repair"},
		{"check broken.vhd --dry-run", 2, "", "--dry-run needs"},
		{"check broken.vhd --force", 2, "", "--force needs --revert"},
		{"check broken.vhd --repair --revert", 2, "", "exclude each other"},
		{"check --repair --dry-run broken.vhd", 1, "would be mended: broken.vhd: repairable: ", ""},
		{"check --repair broken.vhd", 0, "mended: broken.vhd: repairable: ", ""},
		{"check --repair broken.vhd", 0, "broken.vhd: nothing wrong", ""},
		{"check broken.vhd", 0, "broken.vhd: nothing wrong", ""},
		{"check --revert --dry-run broken.vhd.undo", 0, "broken.vhd: to put back; nothing was changed\n", ""},
		{"check --revert broken.vhd.undo", 0, "broken.vhd: put back\n", ""},
		{"check --revert broken.vhd.undo", 1, "", "everything was put back already"},
		{"check broken.vhd", 1, "broken.vhd: repairable: ", ""},
		{"check --repair broken.vhd", 1, "", "broken.vhd.undo: file exists: an earlier repair can be taken back with it; move it away, or name another\n"},
		{"check --repair --json broken.vhd --undo other.undo", 0, `{"path":"broken.vhd","format":"vhd","clean":true,`, ""},
		{"resize broken.vhd +1M", 0, "broken.vhd: now has", ""},
		{"check --revert other.undo", 1, "", "--force puts it back nevertheless"},
		{"check --revert --json other.undo --dry-run --force", 0, `{"undo":"other.undo","files":["broken.vhd"],"bytes":`, ""},
		{"check --revert in.raw", 1, "", "this is no undo file"},
	} {
		stdout, stderr, code := vmmDisk(t.Context(), strings.Fields(c.args)...)
		okOut := strings.HasPrefix(stdout, c.stdout) && (c.stdout != "" || stdout == "")
		if rest, anywhere := strings.CutPrefix(c.stdout, "*"); anywhere {
			okOut = strings.Contains(stdout, rest)
		}
		if strings.Contains(c.args, "--json") && !json.Valid([]byte(stdout)) {
			okOut = false
		}
		if code != c.code || !okOut || !strings.Contains(stderr, c.stderr) || (stderr == "") != (c.stderr == "") {
			t.Errorf("vmm disk %s: exit code %d, want %d\n%s%s", c.args, code, c.code, stdout, stderr)
		}
	}
	for _, name := range []string{"a.vmdk", "a.vhdx", "a.vhd", "a.qcow2", "s.vmdk"} {
		must("compare --pad in.raw " + name)
		must("check " + name)
	}
}

// TestDiskDefragInterrupted sends signals to the command at work. The image is sound after each, and in the end in order.
func TestDiskDefragInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.vmdk")
	const blocks, block = 1500, 64 << 10
	if err := formats.Create(path, disk.CreateOptions{Size: blocks * block}); err != nil {
		t.Fatal(err)
	}
	i, err := formats.Open(path, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for k := range int64(blocks) {
		at := (k * 7) % blocks * block
		if _, err := i.WriteAt(bytes.Repeat([]byte{byte(at >> 16), byte(at >> 24), 1, 2}, block/4), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	run := func(signal syscall.Signal) string {
		cmd := exec.Command(os.Args[0], "disk", "defrag", path)
		cmd.Env = append(os.Environ(), selfEnv+"=1")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for at := st.ModTime(); signal != 0; { // until it has begun to write
			now, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if now.ModTime().After(at) {
				_ = cmd.Process.Signal(signal) // it may have ended by now
				break
			}
			select {
			case err := <-ended:
				ended <- err
				signal = 0
			default:
			}
		}
		<-ended
		return out.String()
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL, 0} {
		out := run(signal)
		switch {
		case signal == 0 && !strings.Contains(out, "in 1 fragment, "):
			t.Errorf("at last: %s", out)
		case strings.Contains(out, "interrupted") && !strings.Contains(out, "the image is sound"):
			t.Errorf("%v: %s", signal, out)
		}
		if stdout, stderr, code := vmmDisk(t.Context(), "check", path); code != 0 && (signal != syscall.SIGKILL || strings.Contains(stdout, "damage")) {
			t.Fatalf("%v: %s%s", signal, stdout, stderr)
		}
		i, err := formats.Open(path, disk.OpenOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, block)
		for at := int64(0); at < blocks*block; at += block {
			if _, err := i.ReadAt(p, at); err != nil || !bytes.Equal(p, bytes.Repeat([]byte{byte(at >> 16), byte(at >> 24), 1, 2}, block/4)) {
				t.Fatalf("%v: block %d has changed (%v)", signal, at/block, err)
			}
		}
		i.Close()
	}
}
