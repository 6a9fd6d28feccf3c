package browser

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/config/vmx"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// TestMachine reads the folder's .vmx and disk as vmm run does.
func TestMachine(t *testing.T) {
	dir := t.TempDir()
	const size = 1 << 20
	for name, data := range map[string][]byte{vmxName: []byte(vmxText), rootFlatName: make([]byte, size), kernelName: nil, initrdName: nil} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeDescriptor(filepath.Join(dir, rootName), size); err != nil {
		t.Fatal(err)
	}
	m, _, findings, err := vmx.Load(filepath.Join(dir, vmxName), vmx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Class >= vmx.Warned {
			t.Errorf("%s: %s", f.Key, f.Reason)
		}
	}
	if m.Board != config.BoardFast || m.Display.Adapter != config.DisplayVirtio || m.Input.Model != config.InputVirtio || !m.Disks[0].ReadOnly || m.Run.Kiosk.URL != "" || m.Run.Kiosk.Keyboard != "us" {
		t.Errorf("%+v", m)
	}
	for _, weak := range []string{"mitigations", "nokaslr", "nopti", "nosmep", "nosmap", "nospectre", "init_on", "selinux", "lockdown"} {
		if strings.Contains(m.KernelCmdline(), weak) {
			t.Errorf("the kernel is told %q", m.KernelCmdline())
		}
	}
	img, err := formats.Open(filepath.Join(dir, rootName), disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if img.Size() != size {
		t.Errorf("the disk has %d bytes", img.Size())
	}
	if r, err := formats.Check(filepath.Join(dir, rootName), disk.OpenOptions{ReadOnly: true}); err != nil || len(r.Problems) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
