package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestDiskExtents makes disks of listed extents.
func TestDiskExtents(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "boot.img", bytes.Repeat([]byte("boot"), 1<<18))
	for _, c := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"create mix.vmdk --variant custom --extent flat:512K:boot.img:512K --extent zero:1M --extent sparse:2M", 0, "mix.vmdk: vmdk custom, 3.5 MiB", ""},
		{"create mix.vmdk --variant custom --extent zero:1M", exitFailed, "", "exist"},
		{"create a.vmdk --variant custom", exitUsage, "", "--extent"},
		{"create a.vmdk --extent zero:1M", exitUsage, "", "--variant custom"},
		{"create a.vhd --variant custom --extent zero:1M", exitUsage, "", "VMDK"},
		{"create a.vmdk --variant custom --extent zero", exitUsage, "", "KIND:SIZE"},
		{"create a.vmdk --variant custom --extent zero:1000", exitUsage, "", "multiple of 512"},
		{"create a.vmdk --variant custom --extent flat:1M:x:y", exitUsage, "", "--extent flat:1M:x:y"},
		{"create a.vmdk 2M --variant custom --extent zero:1M", exitFailed, "", "together"},
		{"create a.vmdk --variant custom --extent odd:1M", exitFailed, "", "ODD"},
	} {
		stdout, stderr, code := vmmDisk(t.Context(), strings.Fields(c.args)...)
		if code != c.code || !strings.HasPrefix(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || c.stderr == "" && stderr != "" {
			t.Errorf("vmm disk %s: exit %d\n%s%s", c.args, code, stdout, stderr)
		}
	}
	text, err := os.ReadFile("mix.vmdk")
	if err != nil {
		t.Fatal(err)
	}
	if want := "RW 1024 FLAT \"boot.img\" 1024\nRW 2048 ZERO\nRW 4096 SPARSE \"mix-s003.vmdk\"\n"; !strings.Contains(string(text), want) {
		t.Errorf("descriptor:\n%s\nwants\n%s", text, want)
	}
}
