package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/exchange"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/volatile"
)

// openDisk opens the image behind d. With discard, or where the configuration says so, writes go to a temporary overlay, above what the machine had
// written there when it was saved: kept names the file with that, or is empty.
func openDisk(m *config.Machine, d *config.Disk, discard bool, kept string, log *slog.Logger) (disk.Image, error) {
	drop := discard && !d.ReadOnly || m.DiscardsWrites(d)
	img, err := formats.Open(d.Path, disk.OpenOptions{
		ReadOnly: d.ReadOnly || drop,
		Format:   string(d.Format),
		Logger:   log,
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("disk %s: %w: restore it, or correct %s.fileName", d.Address, err, d.Address)
	case err != nil:
		return nil, fmt.Errorf("disk %s: %w", d.Address, err)
	}
	if !drop {
		if d.ReadOnly || d.Media != config.MediaDisk {
			return img, nil
		}
		return exchange.New(img), nil // for a snapshot another one may have to go on
	}
	if kept != "" {
		below, err := volatile.Open(img, kept)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("disk %s: %w", d.Address, err), img.Close())
		}
		img = below
	}
	over, err := volatile.New(img, "")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("disk %s: temporary overlay: %w", d.Address, err), img.Close())
	}
	return over, nil
}

// serialOf is what the guest reads as the disk's serial number.
func serialOf(d *config.Disk) string {
	if d.Serial != "" {
		return d.Serial
	}
	return "vmm-" + d.Address.String()
}
