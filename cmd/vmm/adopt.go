package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/guest"
	"github.com/sharevm/vmm/disk/guest/windows"
	"github.com/sharevm/vmm/disk/tools"
)

// bootDrivers are the drivers that Windows needs for its disk at each controller: one of the sets, by the names of their services.
var bootDrivers = map[config.ControllerModel][][]string{
	config.ControllerPIIX:      {{"intelide", "atapi"}},
	config.ControllerAHCI:      {{"storahci"}, {"msahci"}}, // of Windows 8 and 7
	config.ControllerNVMe:      {{"stornvme"}},
	config.ControllerLSISAS:    {{"lsi_sas"}},
	config.ControllerLSILogic:  {{"symmpi"}, {"lsi_scsi"}},
	config.ControllerPVSCSI:    {{"pvscsi"}},
	config.ControllerVirtioBlk: {{"viostor"}},
}

// adopt says so where the Windows on the machine's first disk would not find its disk at the start, and with --adopt has it load the driver. That
// is changed in an overlay, which takes the disk's place in cfg. What cannot be read is no error: the guest may know better.
func (fl *runFlags) adopt(ctx context.Context, cfg *config.Machine, messages io.Writer, log *slog.Logger) error {
	d, model := firstDisk(cfg)
	if d == nil || !config.IsWindows(cfg.GuestOS) {
		return nil
	}
	changes, reason, err := judge(ctx, d, bootDrivers[model])
	switch {
	case err != nil && fl.adopting:
		return fmt.Errorf("--adopt: %s: %w", d.Path, err)
	case err != nil:
		log.Info("whether Windows has the driver of its disk cannot be told", "disk", d.Address.String(), "error", err)
		return nil
	case reason == "":
		return nil
	case changes == nil && fl.adopting:
		return fmt.Errorf("--adopt: %s: %s; choose another controller", d.Path, reason)
	case changes == nil:
		fmt.Fprintf(messages, "%s at %s (%s): %s; it will stop with code 7B unless you choose another controller\n", filepath.Base(d.Path), d.Address, model, reason)
		return nil
	case !fl.adopting:
		fmt.Fprintf(messages, "%s at %s (%s): %s; it will stop with code 7B. --adopt changes that in an overlay\n", filepath.Base(d.Path), d.Address, model, reason)
		return nil
	}
	overlay, err := change(ctx, d, changes)
	if err != nil {
		return fmt.Errorf("--adopt: %w", err)
	}
	fmt.Fprintf(messages, "Windows loads the driver for %s (%s) from now on in %s, an overlay of %s, which has not changed\n", d.Address, model, overlay, filepath.Base(d.Path))
	d.Path = overlay
	d.Format, err = config.FormatOf(overlay)
	return err
}

// firstDisk is the first hard disk of a machine, and the model of its controller.
func firstDisk(cfg *config.Machine) (*config.Disk, config.ControllerModel) {
	for i := range cfg.Disks {
		d := &cfg.Disks[i]
		if d.Media != config.MediaDisk || d.Path == "" || d.HostDevice {
			continue
		}
		for _, c := range cfg.Controllers {
			if c.Bus == d.Address.Bus {
				return d, c.Model
			}
		}
	}
	return nil, ""
}

// judge looks whether the Windows on a disk loads one of the sets of drivers at its start. If not, it says why, and what would change that if
// anything would.
func judge(ctx context.Context, d *config.Disk, sets [][]string) (changes []windows.Change, reason string, err error) {
	img, err := formats.Open(d.Path, disk.OpenOptions{ReadOnly: true, Format: string(d.Format)})
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, img.Close()) }()
	l, err := guest.Scan(ctx, img, img.Size(), img.Info().SectorSize)
	if err != nil {
		return nil, "", err
	}
	reg, err := windows.Open(ctx, img, l)
	if err != nil {
		return nil, "", err
	}
	var lacking []string
	for _, drivers := range sets {
		boots, missing, err := reg.Boots(drivers...)
		if err != nil || boots {
			return nil, "", err
		}
		if missing != nil {
			lacking = append(lacking, missing...)
			continue
		}
		changes, err := reg.Adopt(drivers...)
		return changes, "Windows has the driver " + strings.Join(drivers, ", ") + " and does not load it at its start", err
	}
	if lacking == nil {
		return nil, "", nil
	}
	return nil, "Windows has no driver for it (" + strings.Join(lacking, ", ") + ")", nil
}

// change makes an overlay of a disk with changes, and returns its path.
func change(ctx context.Context, d *config.Disk, changes []windows.Change) (_ string, err error) {
	path, err := tools.OverlayName(d.Path, string(d.Format), "", nil)
	if err != nil {
		return "", err
	}
	if _, err := tools.Overlay(ctx, d.Path, path, tools.OverlayOptions{}); err != nil {
		return "", err
	}
	img, err := formats.Open(path, disk.OpenOptions{})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, img.Close()) }()
	for _, c := range changes {
		if _, err := img.WriteAt(c.Data[:], c.Offset); err != nil {
			return "", err
		}
	}
	return path, img.Flush()
}
