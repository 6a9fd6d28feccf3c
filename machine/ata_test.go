package machine

import (
	"log/slog"
	"testing"

	"github.com/sharevm/vmm/config"
)

// TestATADrive holds that a CD-ROM drive is there without a disc, and a hard disk is not.
func TestATADrive(t *testing.T) {
	b := &board{m: &Machine{log: slog.New(slog.DiscardHandler)}}
	address, err := config.ParseAddress("ide1:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, sata := range []bool{false, true} {
		cd, err := b.ataDrive(drive{Disk: &config.Disk{Address: address, Media: config.MediaCDROM}}, sata)
		if err != nil || cd == nil || !cd.Packets() {
			t.Errorf("an empty CD-ROM drive: %v, %v", cd, err)
		}
		disk, err := b.ataDrive(drive{Disk: &config.Disk{Address: address, Media: config.MediaDisk}}, sata)
		if err != nil || disk != nil {
			t.Errorf("a disk that is not connected: %v, %v", disk, err)
		}
	}
	long := drive{Disk: &config.Disk{Address: address, Media: config.MediaCDROM, Serial: "a serial number that is far longer than a field"}}
	if _, err := b.ataDrive(long, false); err == nil {
		t.Error("a long serial number was taken")
	}
}
