package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/machine/snapshot"
)

// TestSnapshotCheck checks a machine with a snapshot that is whole, one with a byte of memory changed, and a suspended state without checksums.
func TestSnapshotCheck(t *testing.T) {
	root := t.TempDir()
	vmx, disk := filepath.Join(root, "x.vmx"), filepath.Join(root, "disk.img")
	for _, path := range []string{vmx, disk} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		c := newSnapshotCheck()
		c.SilenceErrors, c.SilenceUsage = true, true
		c.SetArgs(args)
		c.SetOut(&out)
		err := c.Execute()
		return out.String(), err
	}
	if out, err := run(vmx); err == nil || !strings.Contains(err.Error(), "no snapshots") {
		t.Errorf("without any: %q, %v", out, err)
	}
	for _, name := range []string{"good", "bad"} {
		memory := keepSummed(t, filepath.Join(snapshotsAt(vmx), name), disk)
		if name == "bad" {
			if err := os.WriteFile(memory, []byte("memorY"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	keepSnapshot(t, suspendedAt(vmx), disk)
	if out, err := run(vmx, "good"); err != nil || !strings.HasPrefix(out, "good: whole") {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := run(vmx, "bad"); err == nil || !strings.Contains(err.Error(), "is damaged") || strings.Contains(err.Error(), "\n") || out != "" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := run(vmx, "none"); err == nil || !strings.Contains(err.Error(), `no snapshot "none"`) {
		t.Error(err)
	}
	out, err := run(vmx)
	if err == nil || !strings.Contains(out, "good: whole") || !strings.Contains(err.Error(), "snapshot bad: ") || !strings.Contains(err.Error(), "snapshot (suspended): the snapshot was saved by an older vmm") {
		t.Errorf("all: %q, %v", out, err)
	}
}

// keepSummed makes a snapshot with a memory of some bytes, and checksums. It returns the path of the memory.
func keepSummed(t *testing.T, dir, disk string) (memory string) {
	t.Helper()
	keepSnapshot(t, dir, disk)
	memory = filepath.Join(dir, snapshot.MemoryFile)
	if err := os.WriteFile(memory, []byte("memory"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(memory)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := snapshot.Sum(snapshot.MemoryFile, f)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := snapshot.WriteSums(&b, []snapshot.Summed{s}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, snapshot.SumsFile), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return memory
}

// TestInstantVerify lists a snapshot for instant starts that is whole, and has a byte of its memory changed.
func TestInstantVerify(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	disk := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	memory := keepSummed(t, filepath.Join(cache, "vmm", "instant", "x"), disk)
	list := func() (string, error) {
		var out bytes.Buffer
		c := newInstantList()
		c.SilenceErrors, c.SilenceUsage = true, true
		c.SetArgs([]string{"--verify"})
		c.SetOut(&out)
		err := c.Execute()
		return out.String(), err
	}
	if out, err := list(); err != nil || !strings.Contains(out, "whole") {
		t.Errorf("%q, %v", out, err)
	}
	if err := os.WriteFile(memory, []byte("nemory"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := list(); err == nil || !strings.Contains(out, "is damaged") || !strings.Contains(err.Error(), "1 of 1 snapshots") {
		t.Errorf("%q, %v", out, err)
	}
}
