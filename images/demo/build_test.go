package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/config/vmx"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/internal/debian"
)

// needPackages skips where the packages that the machine is made of would have to be downloaded.
func needPackages(t *testing.T) {
	t.Helper()
	dir, err := debian.DefaultDir()
	if err != nil {
		t.Skip(err)
	}
	for _, name := range []string{"busybox-static", "linux-image-cloud-amd64"} {
		if _, err := os.Stat(filepath.Join(dir, name+".current")); err != nil {
			t.Skipf("%s is not in the package cache: make demo", name)
		}
	}
	if _, err := os.Stat("/usr/sbin/mkfs.ext4"); err != nil {
		t.Skip("needs the Debian package e2fsprogs")
	}
}

// unpack writes the contents of an image to a sparse flat file, and returns its path.
func unpack(t *testing.T, image string) string {
	t.Helper()
	from, err := formats.Open(image, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	flat := filepath.Join(t.TempDir(), "flat.raw")
	if err := formats.Create(flat, disk.CreateOptions{Size: from.Size()}); err != nil {
		t.Fatal(err)
	}
	to, err := formats.Open(flat, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := copyDisk(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return flat
}

func TestBuild(t *testing.T) {
	needPackages(t)
	dir := filepath.Join(t.TempDir(), "machine")
	// Any program will do where nothing boots.
	init, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := build(t.Context(), dir, init, false, products); err != nil {
		t.Fatal(err)
	}
	before := readManifest(dir)
	if err := build(t.Context(), dir, init, false, products); err != nil {
		t.Fatal(err)
	}
	for name, m := range readManifest(dir) {
		if m != before[name] {
			t.Errorf("%s was made again from the same inputs", name)
		}
	}

	r, err := vmx.Lint(filepath.Join(dir, vmxName), vmx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Worst() > vmx.Harmless {
		var text bytes.Buffer
		_ = r.WriteText(&text, false)
		t.Errorf("the .vmx is not wholly honoured:\n%s", text.Bytes())
	}
	m, _, _, err := vmx.Load(filepath.Join(dir, vmxName), vmx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Disks) != 2 || m.Disks[0].Format != config.FormatVMDK || m.Disks[1].Format != config.FormatVHD || len(m.NICs) != 1 ||
		m.Boot.Kernel != filepath.Join(dir, kernelName) || m.Boot.Initrd != filepath.Join(dir, initrdName) {
		t.Errorf("the machine is not what it should be: %+v", m)
	}
	for _, name := range []string{rootName, dataName} {
		path := filepath.Join(dir, name)
		if err := checkImage(path); err != nil {
			t.Error(err)
		}
		if out, err := exec.Command("/usr/sbin/e2fsck", "-fn", unpack(t, path)).CombinedOutput(); err != nil {
			t.Errorf("the file system in %s: %v\n%s", name, err, out)
		}
	}
	out, err := exec.Command("/usr/sbin/debugfs", "-R", "stat /bin/vi", unpack(t, filepath.Join(dir, rootName))).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("Fast link dest: \"busybox\"")) {
		t.Errorf("the root disk has no vi: %v\n%s", err, out)
	}
}
