package main

import (
	"context"
	"os"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/internal/bench/report"
)

// halfFull makes a disk of 2 GiB with 1 GiB of data in each format, and returns the images' paths in the order of kinds.
func (b *bench) halfFull(ctx context.Context) ([]string, error) {
	const size = 2 * gib
	raw := b.path("mixed.raw")
	if err := makeDisk(raw, size, mixed(size)); err != nil {
		return []string{raw}, err
	}
	return b.copies(ctx, raw, "mixed")
}

// convert measures each pair of formats on a disk that is half full.
func (b *bench) convert(ctx context.Context) error {
	paths, err := b.halfFull(ctx)
	defer removeAll(paths)
	if err != nil {
		return err
	}
	for i, from := range kinds {
		if err := warm(paths[i]); err != nil {
			return err
		}
		for _, to := range kinds {
			if err := b.compete(ctx, "convert-"+from.name+"-"+to.name, true, b.converters(paths[i], from, to, from.name == "raw" || to.name == "raw")...); err != nil {
				return err
			}
		}
	}
	return nil
}

// sparse measures a large disk with little on it.
func (b *bench) sparse(ctx context.Context) error {
	const size = 16 * gib
	raw := b.path("sparse.raw")
	if err := makeDisk(raw, size, scattered(size, 10_000)); err != nil {
		return err
	}
	paths, err := b.copies(ctx, raw, "sparse")
	defer removeAll(paths)
	if err != nil {
		return err
	}
	for i, f := range kinds {
		if err := b.compete(ctx, "sparse-raw-"+f.name, true, b.converters(raw, kinds[0], f, false)...); err != nil {
			return err
		}
		if i > 0 {
			if err := b.compete(ctx, "sparse-"+f.name+"-raw", true, b.converters(paths[i], f, kinds[0], false)...); err != nil {
				return err
			}
		}
		if err := b.lookups(ctx, "sparse-", raw, paths[i], f); err != nil {
			return err
		}
	}
	return nil
}

// huge measures what the size of a disk alone costs: 8 TiB with 1000 extents.
func (b *bench) huge(ctx context.Context) error {
	const size = 8 << 40
	raw := b.path("huge.raw")
	if err := makeDisk(raw, size, scattered(size, 1000)); err != nil {
		return err
	}
	defer os.Remove(raw)
	for _, f := range kinds {
		if f.name == "vhd" { // ends at 2040 GiB
			continue
		}
		if err := b.compete(ctx, "huge-raw-"+f.name, true, b.converters(raw, kinds[0], f, false)...); err != nil {
			return err
		}
	}
	return nil
}

// lookup measures what only reads, on a disk that is half full.
func (b *bench) lookup(ctx context.Context) error {
	paths, err := b.halfFull(ctx)
	defer removeAll(paths)
	if err != nil {
		return err
	}
	for i, f := range kinds {
		if err := b.lookups(ctx, "", paths[0], paths[i], f); err != nil {
			return err
		}
	}
	return nil
}

// lookups measures check, compare and map of one image. What qemu-img cannot check is measured alone.
func (b *bench) lookups(ctx context.Context, prefix, raw, path string, f format) error {
	if err := warm(raw, path); err != nil {
		return err
	}
	check := []contestant{{name: report.Ours, args: []string{b.vmm, "disk", "check", path}}}
	if f.qemu != "raw" && f.qemu != "vpc" {
		check = append(check, contestant{name: qemuName, args: []string{b.qemu, "check", "-q", "-f", f.qemu, path}})
	}
	if f.name != "raw" {
		if err := b.compete(ctx, prefix+"check-"+f.name, false, check...); err != nil {
			return err
		}
		if err := b.compete(ctx, prefix+"compare-"+f.name, false,
			contestant{name: report.Ours, args: []string{b.vmm, "disk", "compare", "--json", raw, path}},
			contestant{name: qemuName, args: []string{b.qemu, "compare", "-q", "-f", "raw", "-F", f.qemu, raw, path}}); err != nil {
			return err
		}
	}
	return b.compete(ctx, prefix+"map-"+f.name, false,
		contestant{name: report.Ours, args: []string{b.vmm, "disk", "map", "--json", path}},
		contestant{name: qemuName, args: []string{b.qemu, "map", "--output=json", "-f", f.qemu, path}})
}

// warm reads what files hold, so that the first contestant finds them in the host's memory as the others do.
func warm(paths ...string) error {
	buf := make([]byte, mib)
	for _, path := range paths {
		f, err := disk.HostFiles{}.Open(path, disk.FileOptions{Shared: true})
		if err != nil {
			return err
		}
		defer f.Close()
		size, err := f.Size()
		if err != nil {
			return err
		}
		for at := int64(0); ; {
			start, end, err := f.NextData(at)
			if err != nil || start == size {
				if err != nil {
					return err
				}
				break
			}
			for at = start; at < end; at += mib {
				if _, err := f.ReadAt(buf[:min(mib, end-at)], at); err != nil {
					return err
				}
			}
			at = end
		}
	}
	return nil
}

func removeAll(paths []string) {
	for _, p := range paths {
		_ = os.Remove(p)
	}
}
