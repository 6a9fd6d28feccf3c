package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/config/guess"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/guest"
	"github.com/sharevm/vmm/disk/guest/eltorito"
	"github.com/sharevm/vmm/disk/guest/partition"
	"golang.org/x/sys/unix"
)

// isBare says whether a file is a disk image rather than a .vmx, by its name alone.
func isBare(file string) bool {
	_, err := config.FormatOf(file)
	return err == nil
}

// makeUp makes up a machine around a bare disk image, and says what and why. The image is only read.
func makeUp(ctx context.Context, file string) (_ *config.Machine, says []string, err error) {
	f, err := examine(ctx, file)
	if err != nil {
		return nil, nil, err
	}
	m, says := guess.Machine(*f)
	return m, says, nil
}

// examine finds out what has to be known of an image.
func examine(ctx context.Context, file string) (_ *guess.Facts, err error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	format, err := config.FormatOf(path)
	if err != nil {
		return nil, err
	}
	var host unix.Sysinfo_t
	if err := unix.Sysinfo(&host); err != nil {
		return nil, fmt.Errorf("ask for the host's memory: %w", err)
	}
	f := &guess.Facts{
		Path: path, Format: format, CDROM: strings.EqualFold(filepath.Ext(path), ".iso"),
		HostMemory: int64(host.Totalram) * int64(host.Unit), HostCPUs: runtime.NumCPU(),
	}
	img, err := formats.Open(path, disk.OpenOptions{ReadOnly: true, Format: string(format)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, img.Close()) }()
	if f.CDROM {
		f.BIOS, f.EFI, err = eltorito.Platforms(img, img.Size())
		return f, err
	}
	l, err := guest.Scan(ctx, img, img.Size(), img.Info().SectorSize)
	if errors.Is(err, partition.ErrDamaged) { // the guest may know better
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	f.Scheme = l.Scheme
	for _, p := range l.Partitions {
		f.Partitions = append(f.Partitions, guess.Partition{Kind: p.Kind, FileSystem: p.FileSystem})
	}
	return f, nil
}
