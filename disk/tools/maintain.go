package tools

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sharevm/vmm/disk"
)

// ErrHasChildren: other images are based on this one, and would be spoiled or refused if it changed.
var ErrHasChildren = errors.New("other images are based on it")

// openSole opens an image that is about to change in place, for reading only if readOnly is set, and tells what its parents are. It refuses one that others
// in its folder are based on.
func openSole(ctx context.Context, path string, o disk.OpenOptions, readOnly bool) (disk.Image, []disk.Info, error) {
	o.ReadOnly = readOnly
	files, err := foldersOf(o.Files)
	if err != nil {
		return nil, nil, err
	}
	var above []string
	look := disk.OpenOptions{AllowOutside: o.AllowOutside}
	if err := members(ctx, files, filepath.Dir(path), look, func(m member) {
		if m.parent != "" && samePath(m.parent, path) && !samePath(m.path, path) {
			above = append(above, m.path)
		}
	}); err != nil {
		return nil, nil, err
	}
	if len(above) > 0 {
		return nil, nil, fmt.Errorf("%s: %w: %s; commit or flatten them first", path, ErrHasChildren, strings.Join(above, ", "))
	}
	i, parents, err := openChain(path, o)
	if err != nil {
		return nil, nil, err
	}
	if !readOnly && i.Info().ReadOnly {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, disk.ErrReadOnly), i.Close())
	}
	return i, parents, nil
}

// arenasOf returns an image's rooms for blocks, or an error that wraps [disk.ErrUnsupported] and says why there are none.
func arenasOf(i disk.Image) ([]disk.Arena, error) {
	info := i.Info()
	a, ok := i.(disk.Arrangeable)
	if !ok {
		return nil, fmt.Errorf("%s: %w: %s images keep no table of blocks that could be arranged", info.Path, disk.ErrUnsupported, formatOf(info))
	}
	list, err := a.Arenas()
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%s: %w: %s images are preallocated and have no blocks to arrange", info.Path, disk.ErrUnsupported, formatOf(info))
	}
	return list, err
}

// formatOf names a format with its variant.
func formatOf(i disk.Info) string { return strings.TrimSpace(i.Variant + " " + i.Format) }

// preallocated says whether an image's file holds all of the disk in its order.
func preallocated(i disk.Info) bool {
	switch i.Variant {
	case "fixed", "monolithicFlat", "twoGbMaxExtentFlat", "vmfs", "fullDevice", "vmfsPreallocated", "2GbMaxExtentFlat":
		return true
	}
	return i.Format == "raw"
}

// blockSet is a set of blocks by their numbers.
type blockSet map[int64]uint64

func (s blockSet) add(block int64)      { s[block/64] |= 1 << (block % 64) }
func (s blockSet) has(block int64) bool { return s[block/64]>>(block%64)&1 != 0 }

// span is bytes [from, to) of a disk.
type span struct{ from, to int64 }
