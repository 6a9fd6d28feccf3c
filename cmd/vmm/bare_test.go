package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/config"
)

// TestMakeUp makes disks with the system's own tools and has machines made up around them.
func TestMakeUp(t *testing.T) {
	for _, tool := range []string{"sfdisk", "mke2fs", "qemu-img"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir := t.TempDir()
	run := func(stdin, name string, args ...string) {
		t.Helper()
		c := exec.Command(name, args...)
		c.Stdin = strings.NewReader(stdin)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	raw := func(name, table string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 64<<20); err != nil {
			t.Fatal(err)
		}
		if table != "" {
			run(table, "sfdisk", "-q", path)
		}
		return path
	}
	convert := func(from, format, name string) string {
		to := filepath.Join(dir, name)
		run("", "qemu-img", "convert", "-O", format, from, to)
		return to
	}
	efi := raw("efi.raw", "label: gpt\nsize=16M, type=U\nsize=8M, type=E3C9E316-0B5C-4DB8-817D-F92DF00215AE\ntype=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7\n")
	linux := raw("linux.img", "label: dos\ntype=83\n")
	run("", "mke2fs", "-q", "-t", "ext4", "-E", "offset=1048576", linux, "32M")
	empty := raw("empty.raw", "")
	cd := raw("cd.iso", "")
	for _, test := range []struct {
		file     string
		firmware config.FirmwareKind
		model    config.ControllerModel
		says     string
	}{
		{convert(efi, "vhdx", "windows.vhdx"), config.FirmwareEFI, config.ControllerAHCI, "Windows"},
		{convert(efi, "vmdk", "windows.vmdk"), config.FirmwareEFI, config.ControllerLSISAS, "Windows"},
		{convert(linux, "vpc", "linux.vhd"), config.FirmwareBIOS, config.ControllerPIIX, "an MBR, and by its partitions Linux"},
		{convert(linux, "qcow2", "linux.qcow2"), config.FirmwareBIOS, config.ControllerVirtioBlk, "Linux"},
		{empty, config.FirmwareBIOS, config.ControllerAHCI, "an unknown system"},
		{cd, config.FirmwareBIOS, config.ControllerAHCI, "nothing to start"},
	} {
		if !isBare(test.file) {
			t.Errorf("%s is taken for a .vmx", test.file)
		}
		m, says, err := makeUp(t.Context(), test.file)
		if err != nil {
			t.Errorf("%s: %v", test.file, err)
			continue
		}
		if m.Firmware.Kind != test.firmware || m.Controllers[0].Model != test.model || !strings.Contains(says[0], test.says) {
			t.Errorf("%s: %s, %s, %q", test.file, m.Firmware.Kind, m.Controllers[0].Model, says)
		}
	}
	if _, _, err := makeUp(t.Context(), filepath.Join(dir, "none.vhd")); err == nil {
		t.Error("made up a machine around nothing")
	}
	if isBare("machine.vmx") || isBare("kernel") {
		t.Error("a file that is none is taken for a disk image")
	}
}
