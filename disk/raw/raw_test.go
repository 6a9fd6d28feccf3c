package raw_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/raw"
)

var subject = disktest.Subject{
	File: "disk.raw", Create: raw.Create, Open: disktest.Opener(raw.Open), AnySize: true, Large: 8 << 40,
}

func TestConformance(t *testing.T) { disktest.Run(t, subject) }

func TestCrash(t *testing.T) { disktest.Crash(t, subject) }

func TestQemu(t *testing.T) { disktest.Cross(t, subject, disktest.Peer{Format: "raw", Exact: true}) }

func TestFaults(t *testing.T) { disktest.Faults(t, subject) }

func TestResize(t *testing.T) { disktest.Resize(t, subject) }

// device is a file that cannot be cut or made longer, as a block device.
type device struct{ disk.File }

func (d device) Truncate(int64) error {
	return fmt.Errorf("%s: %w: a block device", d.Name(), disk.ErrUnsupported)
}

// devices opens files as devices.
type devices struct{ disk.HostFiles }

func (d devices) Open(path string, o disk.FileOptions) (disk.File, error) {
	f, err := d.HostFiles.Open(path, o)
	return device{f}, err
}

// TestResizeDevice expects a refusal with the reason, and the disk as it was.
func TestResizeDevice(t *testing.T) {
	path := filepath.Join(disktest.Dir(t), "disk.raw")
	if err := raw.Create(path, disk.CreateOptions{Size: 4096}); err != nil {
		t.Fatal(err)
	}
	i, err := raw.Open(path, disk.OpenOptions{Files: devices{}})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if err := i.Resize(8192); !errors.Is(err, disk.ErrUnsupported) || !strings.Contains(err.Error(), "device") {
		t.Errorf("%v, want ErrUnsupported and the reason", err)
	}
	if _, err := i.WriteAt([]byte{1}, 4095); err != nil || i.Size() != 4096 || i.Info().Size != 4096 {
		t.Errorf("%v, %d bytes, want 4096", err, i.Size())
	}
}
