package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/guest/windows/windowstest"
)

// TestAdopt has Windows disks meet controllers, and looks at what is said and changed.
func TestAdopt(t *testing.T) {
	content := windowstest.Windows(t, map[string]map[string]uint32{
		"storahci": {"Start": 0}, "storahci/StartOverride": {"0": 3}, "lsi_sas": {"Start": 0}, "intelide": {"Start": 3}, "atapi": {"Start": 0},
	})
	for _, test := range []struct {
		name     string
		model    config.ControllerModel
		bus      config.BusKind
		adopting bool
		says     string
		overlay  bool
		fails    bool
	}{
		{"it starts", config.ControllerLSISAS, config.BusSCSI, false, "", false, false},
		{"it starts, adopted or not", config.ControllerLSISAS, config.BusSCSI, true, "", false, false},
		{"a driver that is off", config.ControllerAHCI, config.BusSATA, false, "has the driver storahci and does not load it", false, false},
		{"a driver that is off, adopted", config.ControllerAHCI, config.BusSATA, true, "disk-000001.vmdk, an overlay", true, false},
		{"two drivers", config.ControllerPIIX, config.BusIDE, true, "ide0:0", true, false},
		{"no driver", config.ControllerNVMe, config.BusNVMe, false, "has no driver for it (stornvme)", false, false},
		{"no driver, adopted", config.ControllerNVMe, config.BusNVMe, true, "", false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "disk.vmdk")
			if err := formats.Create(path, disk.CreateOptions{Size: int64(len(content))}); err != nil {
				t.Fatal(err)
			}
			img, err := formats.Open(path, disk.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := img.WriteAt(content, 0); err != nil {
				t.Fatal(err)
			}
			if err := img.Close(); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			m := config.New("m")
			m.GuestOS = "windows9-64"
			bus := config.Bus{Kind: test.bus}
			m.Controllers = []config.Controller{{Bus: bus, Model: test.model, Slot: config.NoSlot}}
			m.Disks = []config.Disk{{Address: config.Address{Bus: bus}, Media: config.MediaDisk, Path: path, Format: config.FormatVMDK, Mode: config.ModePersistent, Connected: true}}
			var said strings.Builder
			fl := &runFlags{adopting: test.adopting}
			if err := fl.adopt(t.Context(), m, &said, slog.New(slog.NewTextHandler(io.Discard, nil))); (err != nil) != test.fails {
				t.Fatal(err)
			}
			if !strings.Contains(said.String(), test.says) || (test.says == "") != (said.Len() == 0) {
				t.Errorf("it says %q, want %q", said.String(), test.says)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
				t.Errorf("the disk itself has changed, or cannot be read: %v", err)
			}
			if (m.Disks[0].Path != path) != test.overlay {
				t.Fatalf("the disk is now %s", m.Disks[0].Path)
			}
			said.Reset()
			if err := fl.adopt(t.Context(), m, &said, slog.New(slog.DiscardHandler)); test.overlay && (err != nil || said.Len() != 0) {
				t.Errorf("of the overlay it says %q, error %v", said.String(), err)
			}
		})
	}
}
