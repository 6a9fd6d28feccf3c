package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/config/vmx"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// keepers makes a folder with two disks, one of them a machine's alone that throws away what is written, and machines of it: their .vmx files.
func keepers(t *testing.T, overlays ...string) (dir string, files []string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"disk.vmdk", "data.img", "scratch.img"} {
		if err := formats.Create(filepath.Join(dir, name), disk.CreateOptions{Size: 1 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "kernel"), []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, overlay := range overlays {
		file := filepath.Join(dir, fmt.Sprintf("m%d.vmx", i))
		text := `config.version = "8"
virtualHW.version = "19"
guestOS = "other-64"
memsize = "64"
vmm.kernel = "kernel"
scsi0.present = "TRUE"
scsi0.virtualDev = "lsilogic"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "disk.vmdk"
scsi0:1.present = "TRUE"
vmm.scsi0:1.fileName = "data.img"
scsi0:2.present = "TRUE"
vmm.scsi0:2.fileName = "scratch.img"
scsi0:2.mode = "independent-nonpersistent"
` + overlay
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return dir, files
}

// worksWith are the images that a machine works with when it is started with options.
func worksWith(t *testing.T, file string, options ...string) []config.Disk {
	t.Helper()
	var fl runFlags
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	fl.add(f)
	if err := f.Parse(options); err != nil {
		t.Fatal(err)
	}
	m, _, _, err := vmx.Load(file, fl.allow)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fl.override(m); err != nil {
		t.Fatal(err)
	}
	if err := keepApart(t.Context(), file, m, fl.discard); err != nil {
		t.Fatal(err)
	}
	return m.Disks
}

// marked writes a text to an image, if there is one, and returns what was there.
func marked(t *testing.T, d config.Disk, text string) string {
	t.Helper()
	img, err := formats.Open(d.Path, disk.OpenOptions{Format: string(d.Format), ReadOnly: text == ""})
	if err != nil {
		t.Fatal(err)
	}
	was := make([]byte, 8)
	if _, err := img.ReadAt(was, 4096); err != nil {
		t.Fatal(err)
	}
	if text != "" {
		if _, err := img.WriteAt([]byte(text), 4096); err != nil {
			t.Fatal(err)
		}
	}
	if err := img.Close(); err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimRight(was, "\x00"))
}

// TestKeepApart has machines write to disks that stay as they are, find it again, and not find what the other has written.
func TestKeepApart(t *testing.T) {
	dir, files := keepers(t, `vmm.overlay = "keep"`, `vmm.overlay = "disposable"`)
	contents := func() (all []string) {
		for _, name := range []string{"disk.vmdk", "data.img", "scratch.img"} {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(b))
		}
		return all
	}
	before := contents()
	if d := worksWith(t, files[0], "--snapshot"); filepath.Base(d[0].Path) != "disk.vmdk" {
		t.Errorf("one that forgets what it writes has made %s", d[0].Path)
	}
	for i, file := range files {
		var options []string
		if i == 1 {
			options = []string{"--keep"} // also where the .vmx says otherwise
		}
		for n := range 2 {
			d := worksWith(t, file, options...)
			for k := range 2 {
				want := ""
				if n > 0 {
					want = fmt.Sprint("was ", i, k)
				}
				if got := marked(t, d[k], fmt.Sprint("was ", i, k)); got != want {
					t.Errorf("machine %d, disk %d, start %d: it reads %q, want %q", i, k, n, got, want)
				}
			}
			if filepath.Base(d[2].Path) != "scratch.img" {
				t.Errorf("what is written to a disk that forgets it is kept in %s", d[2].Path)
			}
		}
	}
	if d := worksWith(t, files[0], "--snapshot"); marked(t, d[0], "") != "was 0 0" {
		t.Errorf("one that forgets what it writes does not begin with what was kept: %s", d[0].Path)
	}
	if d := worksWith(t, files[1]); filepath.Base(d[0].Path) != "disk.vmdk" {
		t.Errorf("without --keep it works with %s", d[0].Path)
	}
	for i, now := range contents() {
		if now != before[i] {
			t.Errorf("disk %d itself has changed", i)
		}
	}
	if got, want := keptAt("/m/windows.vhdx", "/m/windows.vhdx"), "/m/windows-kept.vmdk"; got != want {
		t.Errorf("a bare disk's is kept in %s, want %s", got, want)
	}
	// The disk is no longer what was written above: that would be nonsense.
	marked(t, config.Disk{Path: filepath.Join(dir, "disk.vmdk"), Format: config.FormatVMDK}, "changed")
	if img, err := formats.Open(worksWith(t, files[0])[0].Path, disk.OpenOptions{}); err == nil {
		img.Close()
		t.Error("the disk has changed below what was kept, and nobody says so")
	}
}

// TestKeepRefused are command lines that ask for what cannot be.
func TestKeepRefused(t *testing.T) {
	_, files := keepers(t, "", `scsi0:0.readonly = "TRUE"`+"\n"+`scsi0:1.readonly = "TRUE"`)
	for _, test := range []struct {
		file, want string
		options    []string
	}{
		{files[0], "leave one out", []string{"--keep", "--snapshot"}},
		{files[0], "leave one out", []string{"--keep", "--instant"}},
		{files[1], "vmm suspend keeps it", []string{"--keep"}},
	} {
		if _, err := command(t, append([]string{"run", test.file}, test.options...)...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.options, err, test.want)
		}
	}
}

// TestKeepFollowsNoLink has a folder, as a stranger may make it, lead the guest's writes to another image.
func TestKeepFollowsNoLink(t *testing.T) {
	dir, files := keepers(t, `vmm.overlay = "keep"`)
	other := filepath.Join(t.TempDir(), "other.vmdk")
	if err := formats.Create(other, disk.CreateOptions{Size: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, keptAt(files[0], filepath.Join(dir, "disk.vmdk"))); err != nil {
		t.Fatal(err)
	}
	m, _, _, err := vmx.Load(files[0], vmx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := keepApart(t.Context(), files[0], m, false); err == nil || !strings.Contains(err.Error(), "is a link") {
		t.Errorf("a machine keeps what it writes in another folder's image: %v", err)
	}
}
