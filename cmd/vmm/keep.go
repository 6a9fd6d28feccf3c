package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/disk/tools"
)

// keepApart has what the guest writes go to overlays beside the disks where the machine is to keep it apart from them (vmm.overlay = "keep", vmm run --keep). They are made at the first start,
// and take the disks' places in cfg; file is the machine's. One that shall forget what it writes, discard, goes on from them and makes none.
func keepApart(ctx context.Context, file string, cfg *config.Machine, discard bool) error {
	if cfg.Run.Overlay != config.OverlayKeep {
		return nil
	}
	for i := range cfg.Disks {
		d := &cfg.Disks[i]
		if !writtenTo(cfg, d) {
			continue
		}
		if d.HostDevice {
			return fmt.Errorf("disk %s: what is written to %s, a device of this host, cannot be kept apart from it", d.Address, d.Path)
		}
		path := keptAt(file, d.Path)
		info, err := os.Lstat(path)
		if err == nil && !info.Mode().IsRegular() { // a link in a stranger's folder would have the guest write to any disk of this user's
			return fmt.Errorf("disk %s: what is written to it is to be kept in %s, which is a link, or no file: move that away", d.Address, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			if discard {
				continue
			}
			o := tools.OverlayOptions{}
			o.New.ParentFormat = string(d.Format)
			_, err = tools.Overlay(ctx, d.Path, path, o)
		}
		if err != nil {
			return fmt.Errorf("disk %s: keep apart what is written to it: %w", d.Address, err)
		}
		d.Path, d.Format = path, config.FormatVMDK
	}
	return nil
}

// writtenTo says whether the guest can write to a disk, and that is not thrown away.
func writtenTo(cfg *config.Machine, d *config.Disk) bool {
	return d.Media == config.MediaDisk && d.Path != "" && d.Connected && !d.ReadOnly && !cfg.DiscardsWrites(d)
}

// keptAt is where what a machine writes to a disk is kept: two machines that have a disk in common keep theirs apart.
func keptAt(file, disk string) string {
	name := stem(disk) + "-kept"
	if machine := filepath.Base(stem(file)); machine != filepath.Base(stem(disk)) {
		name += "-" + machine
	}
	return name + ".vmdk"
}
