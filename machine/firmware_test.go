package machine

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/boot/firmware"
	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/vmm/bus"
)

func TestBootOrder(t *testing.T) {
	root, err := pci.NewRoot(pci.Config{Memory: bus.New("memory", nil), IO: bus.New("port", nil), Buses: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	plug := func(device, function uint8) *pci.Function {
		t.Helper()
		f := pci.NewFunction("test", pci.Identity{Vendor: 1, Device: 1})
		if err := root.Plug(pci.Address{Device: device, Function: function}, f); err != nil {
			t.Fatal(err)
		}
		return f
	}
	scsi, ide, sata, nvme, card := plug(16, 0), plug(7, 1), plug(17, 0), plug(18, 0), plug(10, 0)
	all := []bootable{
		{"scsi0:0", "hdd", scsi, unitSCSI(0, 0)}, {"scsi0:10", "hdd", scsi, unitSCSI(10, 0)}, {"ide1:0", "cdrom", ide, unitIDE(1, 0)},
		{"sata0:3", "hdd", sata, unitSATA(3)}, {"nvme0:0", "hdd", nvme, unitNVMe(1)}, {"ethernet0", "ethernet", card, unitCard()},
	}
	paths := []string{
		"/pci@i0cf8/scsi@10/channel@0/disk@0,0", "/pci@i0cf8/scsi@10/channel@0/disk@a,0", "/pci@i0cf8/ide@7,1/drive@1/disk@0",
		"/pci@i0cf8/pci8086,2922@11/drive@3/disk@0", "/pci@i0cf8/pci8086,5845@12/namespace@1,0", "/pci@i0cf8/ethernet@a/ethernet-phy@0",
	}
	for _, c := range []struct {
		wanted string
		order  []int
	}{
		{"", []int{0, 1, 3, 4, 2, 5}},
		{"cdrom,hdd", []int{2, 0, 1, 3, 4, 5}},
		{"nvme0:0,ethernet0,nothing", []int{4, 5, 0, 1, 3, 2}},
		{"CDROM,cdrom", []int{2, 0, 1, 3, 4, 5}},
	} {
		var want []string
		for _, i := range c.order {
			want = append(want, paths[i])
		}
		if got := bootOrder(all, strings.Split(c.wanted, ",")); !reflect.DeepEqual(got, want) {
			t.Errorf("order %q:\n%q, want\n%q", c.wanted, got, want)
		}
	}
}

func TestWindows(t *testing.T) {
	w := func(from, to uint64) layout.Window { return layout.Window{Base: from, Size: to - from} }
	for _, c := range []struct {
		ram  uint64
		ecam layout.Window
		want []layout.Window
	}{
		{256 << 20, w(0xB0000000, 0xC0000000), []layout.Window{w(0x80000000, 0xB0000000), w(0xC0000000, 0xFEC00000)}},
		{0xA0000000, w(0xB0000000, 0xC0000000), []layout.Window{w(0xA0000000, 0xB0000000), w(0xC0000000, 0xFEC00000)}},
		{256 << 20, w(0xE0000000, 0xF0000000), []layout.Window{w(0x80000000, 0xE0000000), w(0xF0000000, 0xFEC00000)}},
		{0xB0000000, w(0xB0000000, 0xC0000000), []layout.Window{w(0xC0000000, 0xFEC00000)}},
		{256 << 20, w(0xF0000000, 0x100000000), []layout.Window{w(0x80000000, 0xF0000000)}},
	} {
		if got := windows32(c.ram, c.ecam); !reflect.DeepEqual(got, c.want) {
			t.Errorf("RAM %#x, ECAM %#x: %#x, want %#x", c.ram, c.ecam, got, c.want)
		}
	}
	usual := w(4<<30, 68<<30)
	for _, c := range []struct {
		used []pci.Window
		want layout.Window
	}{
		{nil, usual},
		{[]pci.Window{{Base: 0xC0000000, Size: 1 << 20}, {Base: 5 << 30, Size: 1 << 20}}, usual},
		{[]pci.Window{{Base: 0xE0_0000_0000, Size: 1 << 20}, {Base: 0xE0_4000_0000, Size: 1 << 14}}, w(0xE0_0000_0000, 0xE0_8000_0000)},
		{[]pci.Window{{Base: ^uint64(0) &^ 0xFFFF, Size: 1 << 20}}, usual},
	} {
		if got := window64(usual, c.used); got != c.want {
			t.Errorf("BARs %#x: window %#x, want %#x", c.used, got, c.want)
		}
	}
}

// fakeFirmware makes a folder with OVMF by name.
func fakeFirmware(t *testing.T) (folder string, empty []byte) {
	t.Helper()
	folder, empty = t.TempDir(), bytes.Repeat([]byte{0xFF}, 8192)
	for name, b := range map[string][]byte{"OVMF_CODE_4M.fd": make([]byte, 4096), "OVMF_VARS_4M.fd": empty} {
		if err := os.WriteFile(filepath.Join(folder, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder, empty
}

func TestVariableStore(t *testing.T) {
	folder, empty := fakeFirmware(t)
	c := config.New("test")
	c.Firmware.Kind = config.FirmwareEFI
	c.Firmware.Variables = filepath.Join(t.TempDir(), "test.efivars")
	open := func(discard bool) *romware {
		t.Helper()
		r, err := openFirmware(c, folder, discard)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := open(true)
	if _, err := os.Stat(c.Firmware.Variables); err == nil || r.store != nil || !bytes.Equal(r.variables, empty) {
		t.Error("a machine that forgets everything has made a store")
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	r = open(false)
	if _, err := openFirmware(c, folder, false); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second machine took the store: %v", err)
	}
	if _, err := r.store.WriteAt([]byte("x"), 100); err != nil {
		t.Fatal(err)
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	for _, discard := range []bool{false, true} {
		r = open(discard)
		if r.variables[100] != 'x' || (r.store == nil) != discard {
			t.Errorf("discard %v: the store's contents are lost", discard)
		}
		if err := r.close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(c.Firmware.Variables, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := openFirmware(c, folder, false); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("a store of another size: %v", err)
	}
	outside := filepath.Join(t.TempDir(), "outside") // of this user's, and of the right size
	for range 2 {
		if err := errors.Join(os.Remove(c.Firmware.Variables), os.Symlink(outside, c.Firmware.Variables)); err != nil {
			t.Fatal(err)
		}
		if _, err := openFirmware(c, folder, false); !errors.Is(err, unix.ELOOP) {
			t.Errorf("the link that a stranger's folder has in the store's place is followed: %v", err)
		}
		if err := os.WriteFile(outside, empty, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(c.Firmware.Variables), ".*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, error %v", left, err)
	}
}

// TestSecureBootStore begins a machine's variables with the keys of Debian's OVMF, and refuses variables that would have firmware verify nothing.
func TestSecureBootStore(t *testing.T) {
	c := config.New("test")
	c.Firmware.Kind = config.FirmwareEFI
	open := func(secure bool) error {
		t.Helper()
		c.Firmware.SecureBoot = secure
		r, err := openFirmware(c, "", false)
		if errors.Is(err, firmware.ErrMissing) {
			t.Skip(err)
		}
		return errors.Join(err, r.close())
	}
	for _, first := range []bool{true, false} {
		c.Firmware.Variables = filepath.Join(t.TempDir(), "test.efivars")
		if err := open(first); err != nil {
			t.Fatal(err)
		}
		store, err := os.ReadFile(c.Firmware.Variables)
		if err != nil || firmware.SecureBoot(store) != first {
			t.Errorf("Secure Boot %v: a store of %d bytes that is not so, error %v", first, len(store), err)
		}
		if err := open(false); err != nil {
			t.Errorf("a store with keys %v is not taken: %v", first, err)
		}
		if err := open(true); (err == nil) != first || err != nil && !strings.Contains(err.Error(), c.Firmware.Variables+" has it off: remove the file") {
			t.Errorf("asked for Secure Boot of a store with keys %v: %v", first, err)
		}
	}
}
