package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/vmdk"
	"github.com/sharevm/vmm/internal/size"
)

// createCustom makes a VMDK of the extents that were listed.
func createCustom(path string, o disk.CreateOptions, list []string) error {
	extents, err := parseExtents(list)
	if err != nil {
		return err
	}
	return vmdk.CreateCustom(path, o, extents)
}

// isCustom says whether a VMDK of listed extents was asked for, and what contradicts that.
func isCustom(path string, o disk.CreateOptions, list []string) (bool, error) {
	variant := strings.EqualFold(o.Variant, "custom")
	f, err := formats.Find(path, o.Format)
	switch {
	case len(list) == 0 && (!variant || err == nil && f.Name != "vmdk"):
		return false, nil
	case len(list) == 0:
		return false, errors.New("--variant custom takes a list of --extent")
	case err != nil:
		return false, err
	case f.Name != "vmdk":
		return false, fmt.Errorf("--extent is for VMDK, not for %s", f.Name)
	case !variant:
		return false, errors.New("--extent is for --variant custom")
	}
	_, err = parseExtents(list)
	return true, err
}

// parseExtents reads extents as they were typed: KIND:SIZE[:FILE[:OFFSET]].
func parseExtents(list []string) (out []vmdk.Extent, err error) {
	for _, s := range list {
		fields := strings.SplitN(s, ":", 4)
		e := vmdk.Extent{Type: strings.ToUpper(fields[0])}
		if len(fields) < 2 {
			return nil, fmt.Errorf("--extent %s: KIND:SIZE[:FILE[:OFFSET]] is wanted", s)
		}
		if e.Sectors, err = parseSectors(fields[1]); err != nil {
			return nil, fmt.Errorf("--extent %s: %w", s, err)
		}
		if len(fields) > 2 {
			e.Name = fields[2]
		}
		if len(fields) > 3 {
			if e.Offset, err = parseSectors(fields[3]); err != nil {
				return nil, fmt.Errorf("--extent %s: %w", s, err)
			}
		}
		out = append(out, e)
	}
	return out, nil
}

// parseSectors reads a size that must be whole sectors, and returns how many.
func parseSectors(s string) (int64, error) {
	n, err := size.Parse(s)
	if err == nil && n%512 != 0 {
		err = fmt.Errorf("%s is not a multiple of 512 bytes", s)
	}
	return n / 512, err
}
