package disk_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
)

// image makes a raw file of 1 MiB.
func image(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	f, err := disk.CreateOptions{}.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	return path
}

// vmdk has qemu make an image. On a raw one its readers would not mind a writer.
func vmdk(t *testing.T, img disktest.Tool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.vmdk")
	img.Run("create", "-q", "-f", "vmdk", path, "1M")
	return path
}

// TestQemuHonoursLocks opens a file here and has qemu try.
func TestQemuHonoursLocks(t *testing.T) {
	img, qio := disktest.FindTool(t, "qemu-img", "qemu-utils"), disktest.FindTool(t, "qemu-io", "qemu-utils")
	path := vmdk(t, img)
	read := func() (string, int) { return qio.Try("-r", "-f", "vmdk", "-c", "read 0 512", path) }
	write := func() (string, int) { return qio.Try("-f", "vmdk", "-c", "write 0 512", path) }
	for _, c := range []struct {
		name              string
		o                 disk.OpenOptions
		mayRead, mayWrite bool
	}{
		{"writer", disk.OpenOptions{}, false, false},
		{"reader", disk.OpenOptions{ReadOnly: true}, true, false},
		{"shared reader", disk.OpenOptions{ReadOnly: true, Shared: true}, true, true},
	} {
		f, err := c.o.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if out, code := read(); (code == 0) != c.mayRead {
			t.Errorf("beside our %s, qemu reads with status %d: %s", c.name, code, out)
		}
		if out, code := write(); (code == 0) != c.mayWrite {
			t.Errorf("beside our %s, qemu writes with status %d: %s", c.name, code, out)
		}
		f.Close()
		if out, code := write(); code != 0 {
			t.Errorf("after our %s, qemu writes with status %d: %s", c.name, code, out)
		}
	}
}

// TestHonoursQemuLocks opens a file in qemu and tries here.
func TestHonoursQemuLocks(t *testing.T) {
	disktest.FindTool(t, "qemu-io", "qemu-utils")
	path := vmdk(t, disktest.FindTool(t, "qemu-img", "qemu-utils"))
	for _, c := range []struct {
		name              string
		flags             []string
		mayRead, mayWrite bool
	}{
		{"writer", nil, false, false},
		{"reader", []string{"-r"}, true, false},
	} {
		stop := holdOpen(t, append(c.flags, "-f", "vmdk", path)...)
		for _, try := range []struct {
			readOnly, may bool
		}{{true, c.mayRead}, {false, c.mayWrite}} {
			f, err := disk.OpenOptions{ReadOnly: try.readOnly}.Open(path)
			if (err == nil) != try.may || err != nil && !errors.Is(err, disk.ErrLocked) {
				t.Errorf("beside qemu's %s, opening with ReadOnly=%v: %v", c.name, try.readOnly, err)
			}
			if err == nil {
				f.Close()
			} else if !strings.Contains(err.Error(), path) {
				t.Errorf("error does not name the file: %v", err)
			}
		}
		stop()
	}
}

// holdOpen starts a qemu-io that has its file open when holdOpen returns, until stop.
func holdOpen(t *testing.T, args ...string) (stop func()) {
	t.Helper()
	cmd := exec.Command("qemu-io", args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(in, "read 0 512\n")
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("qemu-io said nothing: %v", err)
	}
	return func() {
		in.Close()
		io.Copy(io.Discard, out)
		cmd.Wait()
	}
}

// TestLocksEndWithClose starts programs, which for a moment share all open files, while a file is closed and opened again and again.
func TestLocksEndWithClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.raw")
	if err := os.WriteFile(path, make([]byte, 512), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(done)
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if err := exec.Command("true").Run(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for range 2000 {
		f, err := disk.HostFiles{}.Open(path, disk.FileOptions{Write: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
