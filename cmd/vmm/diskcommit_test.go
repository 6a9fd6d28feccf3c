package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// TestDiskChain runs commands on chains one after the other in one folder.
func TestDiskChain(t *testing.T) {
	t.Chdir(t.TempDir())
	content := bytes.Repeat([]byte("pack my box with five dozen jugs "), 100_000)
	write(t, "win.raw", content[:len(content)/512*512])
	succeed(t, "convert win.raw win.vmdk", "convert win.raw hv.vhdx", "convert win.raw twin.vmdk")
	write(t, "m.vmx", []byte("scsi0:0.fileName = \"win-000002.vmdk\"\nide1:0.fileName = \"cd.iso\"\nsata0:0.present = \"FALSE\"\nsata0:0.fileName = \"no.vmdk\"\n"))
	write(t, "m.vmsd", []byte("snapshot.current = \"1\"\nsnapshot0.uid = \"1\"\nsnapshot0.displayName = \"evil \x1b[2J\"\nsnapshot0.disk0.fileName = \"win.vmdk\"\n"))
	for _, c := range []chainCase{
		{"overlay win.vmdk", 0, "win-000001.vmdk: vmdk monolithicSparse, 3.1 MiB, based on win.vmdk\n", ""},
		{"overlay win-000001.vmdk", 0, "win-000002.vmdk: vmdk", ""},
		{"overlay win-000001.vmdk win-000002.vmdk", 1, "", "win-000002.vmdk: file already exists\n"},
		{"overlay win-000001.vmdk x.qcow2 --dry-run", 0, "x.qcow2: qcow2 v3, 3.1 MiB, based on win-000001.vmdk; nothing was made\n", ""},
		{"overlay hv.vhdx --json", 0, `{"path":"hv-000001.vhdx","format":"vhdx","variant":"differencing","size":`, ""},
		{"overlay win.raw x.vhd", 1, "", "the parent of a VHD must be a VHD"},
		{"overlay win.raw x --format vmdk --block-size odd", 2, "", "--block-size"},
		{"overlay none.vmdk", 1, "", "no such file"},
		{"overlay", 2, "", "see vmm disk overlay --help"},
		{"snapshot-tree win-000001.vmdk", 0, "*\n│   snapshot \"evil \\x1b[2J\", the current one\n└── win-000001.vmdk  (vmdk monolithicSparse, 3.1 MiB, 12 KiB here)\n    └── win-000002.vmdk", ""},
		{"snapshot-tree m.vmx", 0, "*    └── win-000002.vmdk  (vmdk monolithicSparse, 3.1 MiB, 12 KiB here)\n            disk scsi0:0 of m.vmx\n", ""},
		{"snapshot-tree m.vmsd --json", 0, `[{"path":"win.vmdk","format":"vmdk",`, ""},
		{"snapshot-tree none", 1, "", "no such file"},
		{"commit win-000001.vmdk", 1, "", "(win-000002.vmdk), so that it cannot become empty; delete it when it is committed, which links them to win.vmdk (--delete)\n"},
		{"commit win.vmdk", 1, "", "based on no other image"},
		{"commit hv-000001.vhdx --dry-run", 0, "hv-000001.vhdx: 0 B of 3.1 MiB would be committed to hv.vhdx; nothing was changed\n", ""},
		{"commit hv-000001.vhdx --json --delete", 0, `{"path":"hv-000001.vhdx","parent":"hv.vhdx","size":3299840,"moved":0,"deleted":true}`, ""},
		{"rebase win-000002.vmdk twin.vmdk", 0, "win-000002.vmdk: based on twin.vmdk now; 0 B were copied up\n", ""},
		{"rebase win-000002.vmdk win-000001.vmdk --json", 0, `{"path":"win-000002.vmdk","size":3299840,"parent_before":"twin.vmdk","parent":"win-000001.vmdk","written":0}`, ""},
		{"rebase win-000002.vmdk", 2, "", "PARENT is missing (or --none)"},
		{"rebase --none win-000002.vmdk win.vmdk", 2, "", "--none goes without PARENT"},
		{"rebase --relink win-000002.vmdk hv.vhdx", 1, "", "parent does not fit"},
		{"rebase hv.vhdx win.vmdk", 1, "", "the parent of a VHDX must be a VHDX"},
		{"flatten --dry-run win-000002.vmdk", 0, "win-000002.vmdk: would be based on nothing, with at most 3.1 MiB copied up; nothing was changed\n", ""},
		{"flatten win-000002.vmdk", 0, "win-000002.vmdk: based on nothing now; 3.1 MiB were copied up\n", ""},
		{"flatten win-000002.vmdk", 0, "win-000002.vmdk: it is based on nothing already\n", ""},
		{"compare win-000002.vmdk win.raw", 0, "the disks hold the same\n", ""},
		{"rebase --none win-000001.vmdk --json", 0, `{"path":"win-000001.vmdk","size":3299840,"parent_before":"win.vmdk","written":`, ""},
	} {
		c.run(t)
	}

	// Two machines' files that name what a commit takes away.
	succeed(t, "overlay twin.vmdk win-000009.vmdk")
	write(t, "m.vmx", []byte("scsi0:0.fileName = \"win-000009.vmdk\"\n"))
	write(t, "m.vmsd", []byte("snapshot0.uid = \"1\"\nsnapshot0.displayName = \"first\"\nsnapshot0.disk0.fileName = \"twin.vmdk\"\n"))
	stdout, stderr, code := vmmDisk(t.Context(), "commit", "--delete", "win-000009.vmdk")
	if code != 0 || !strings.Contains(stdout, "it is deleted") || !strings.Contains(stderr, `frozen for the snapshot "first"`) ||
		!strings.Contains(stderr, "m.vmx has win-000009.vmdk as its disk scsi0:0; put twin.vmdk in its place") {
		t.Errorf("%d: %s%s", code, stdout, stderr)
	}
}

// chainCase is a command, its exit code, what standard output begins with (or holds, after *) and what standard error holds.
type chainCase struct {
	args           string
	code           int
	stdout, stderr string
}

func (c chainCase) run(t *testing.T) {
	t.Helper()
	stdout, stderr, code := vmmDisk(t.Context(), strings.Fields(c.args)...)
	okOut := strings.HasPrefix(stdout, c.stdout) && (c.stdout != "" || stdout == "")
	if rest, anywhere := strings.CutPrefix(c.stdout, "*"); anywhere {
		okOut = strings.Contains(stdout, rest)
	}
	okErr := stderr == ""
	if c.stderr != "" {
		okErr = strings.Contains(stderr, c.stderr) && strings.Count(stderr, "\n") == 1
	}
	okJSON := !strings.Contains(c.args, "--json") || json.Valid([]byte(stdout))
	if code != c.code || !okOut || !okErr || !okJSON || strings.Contains(stdout+stderr, "\x1b") {
		t.Errorf("vmm disk %s: exit code %d, want %d\n%s%s", c.args, code, c.code, stdout, stderr)
	}
}

// succeed runs commands that must succeed.
func succeed(t *testing.T, commands ...string) {
	t.Helper()
	for _, args := range commands {
		if _, stderr, code := vmmDisk(t.Context(), strings.Fields(args)...); code != 0 {
			t.Fatalf("vmm disk %s: %s", args, stderr)
		}
	}
}

// TestDiskInfoBroken describes an image whose parent is missing, and one whose parent has changed.
func TestDiskInfoBroken(t *testing.T) {
	t.Chdir(t.TempDir())
	succeed(t, "create base.vhdx 10M", "overlay base.vhdx", "create other.vmdk 10M", "overlay other.vmdk")
	if err := os.Remove("base.vhdx"); err != nil {
		t.Fatal(err)
	}
	i, err := formats.Open("other.vmdk", disk.OpenOptions{})
	if err == nil {
		_, err = i.WriteAt([]byte{1}, 0)
		err = errors.Join(err, i.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []chainCase{
		{"info base-000001.vhdx", 0, "*based on:        base.vhdx\nwarning:         base-000001.vhdx: open its parent: base.vhdx", ""},
		{"info --json base-000001.vhdx", 0, `{"path":"base-000001.vhdx","format":"vhdx","variant":"differencing","size":10485760,`, ""},
		{"info other-000001.vmdk", 0, "*other.vmdk was changed or replaced after this image was made from it", ""},
		{"info --json other-000001.vmdk", 0, `*"parent":"other.vmdk","warnings":["`, ""},
		{"info base.vhdx", 1, "", "no such file"},
	} {
		c.run(t)
	}
}

// TestDiskCommitInterrupted sends signals to a commit that is under way, again and again, and lets one through at last.
func TestDiskCommitInterrupted(t *testing.T) {
	dir := t.TempDir()
	parent, child, want := filepath.Join(dir, "parent.vmdk"), filepath.Join(dir, "child.vmdk"), filepath.Join(dir, "want.raw")
	content := make([]byte, 64<<20)
	for k := range content {
		content[k] = byte(k * k >> 5)
	}
	write(t, want, content)
	succeed(t, "create "+parent+" 64M", "overlay "+parent+" "+child)
	i, err := formats.Open(child, disk.OpenOptions{})
	if err == nil {
		_, err = i.WriteAt(content, 0)
		err = errors.Join(err, i.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM, 0} {
		stderr, err := commitUnder(t, parent, child, signal)
		// It may be done before the signal reaches it; it has as much to do the next time.
		for tries := 1; signal != 0 && err == nil && tries < 20; tries++ {
			stderr, err = commitUnder(t, parent, child, signal)
		}
		if (err == nil) != (signal == 0) {
			t.Errorf("%v: %v\n%s", signal, err, stderr)
		}
		if signal == syscall.SIGINT || signal == syscall.SIGTERM {
			if stderr != "vmm: "+errResumable.Error()+"\n" {
				t.Errorf("%v: %s", signal, stderr)
			}
		}
		succeed(t, "compare "+child+" "+want)
		if left := hidden(t, dir); left != 0 {
			t.Errorf("%v: %d hidden files are left", signal, left)
		}
	}
	succeed(t, "compare "+parent+" "+want)
}

// commitUnder commits child in a process of its own, and sends that a signal, unless it is 0, as soon as it writes to parent. It returns what the process said, and how it ended.
func commitUnder(t *testing.T, parent, child string, signal syscall.Signal) (said string, ended error) {
	t.Helper()
	before, err := os.Stat(parent)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "disk", "commit", child)
	cmd.Env = append(os.Environ(), selfEnv+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Whoever watches it has to come first where processors are scarce.
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, 19); err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	for signal != 0 {
		select {
		case err := <-end:
			return stderr.String(), err
		default:
		}
		// The first write that the parent's file shows is the sign.
		if now, err := os.Stat(parent); err == nil && !now.ModTime().Equal(before.ModTime()) {
			if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			break
		}
	}
	err = <-end // what it said is complete only then
	return stderr.String(), err
}
