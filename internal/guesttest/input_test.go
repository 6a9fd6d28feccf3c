package guesttest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func oneLine(out []byte) bool {
	s := strings.TrimSpace(string(out))
	return s != "" && !strings.Contains(s, "\n") && strings.HasPrefix(s, "vmm: ")
}

// TestBadInput gives vmm run what it cannot run: it must say so in one line, with a status other than 0, and touch nothing.
func TestBadInput(t *testing.T) {
	good := func(t *testing.T) *machineFile {
		f := newFile(t, "info")
		f.create(t, "disk.vmdk", 1<<20)
		f.create(t, "disk.vhd", 1<<20)
		return f
	}
	for _, c := range []struct {
		name string
		make func(t *testing.T) *machineFile
		args []string
		want string
	}{
		{"missing disk", func(t *testing.T) *machineFile { f := good(t); f.addDisk(0, "none.vmdk"); return f }, nil, "none.vmdk"},
		{"truncated VMDK", func(t *testing.T) *machineFile {
			f := good(t)
			f.addDisk(0, "disk.vmdk")
			if err := os.Truncate(filepath.Join(f.dir, "disk.vmdk"), 700); err != nil {
				t.Fatal(err)
			}
			return f
		}, nil, "disk.vmdk"},
		{"VHD with a bad checksum", func(t *testing.T) *machineFile {
			f := good(t)
			f.addDisk(0, "disk.vhd")
			path := filepath.Join(f.dir, "disk.vhd")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b[100] ^= 1
			b[len(b)-512+100] ^= 1
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			return f
		}, nil, "checksum"},
		{"kernel that is none", func(t *testing.T) *machineFile {
			f := good(t)
			f.addDisk(0, "disk.vmdk")
			f.set("vmm.kernel", "disk.vhd")
			return f
		}, nil, "not a kernel"},
		{"more memory than the host", good, []string{"--mem", "512G"}, "this host has"},
		{"odd memory", good, []string{"--mem", "twelve"}, "not a size"},
		{"no such network", good, []string{"--net", "carrier-pigeon"}, "carrier-pigeon"},
		{"too many processors", good, []string{"--cpus", "4000"}, "4000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.make(t)
			f.addNIC()
			path := f.write(t)
			before := folder(t, f.dir)
			cmd := exec.Command(vmmBin, append(append([]string{"run", "--allow-outside"}, c.args...), path)...)
			out, err := cmd.CombinedOutput()
			if err == nil || !oneLine(out) || !bytes.Contains(out, []byte(c.want)) {
				t.Errorf("status %v, output:\n%s", err, out)
			}
			if after := folder(t, f.dir); after != before {
				t.Errorf("the machine's folder has changed: %s, was %s", after, before)
			}
		})
	}
}

// TestNoPermission runs vmm as a user who may not open /dev/kvm.
func TestNoPermission(t *testing.T) {
	f := newFile(t, "info")
	path := f.write(t)
	if err := os.Chmod(filepath.Dir(f.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod("/dev/kvm", 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod("/dev/kvm", 0o666) })
	out, err := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", vmmBin, "run", "--allow-outside", path).CombinedOutput()
	if err == nil || !oneLine(out) || !bytes.Contains(out, []byte("permission denied")) {
		t.Errorf("status %v, output:\n%s", err, out)
	}
}

// folder describes the files of a folder and their contents.
func folder(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", "cd \"$0\" && find . -type f | sort | xargs sha256sum", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}
