package tools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// OverlayOptions says what overlay to make.
type OverlayOptions struct {
	// New describes the overlay. Parent and Files say themselves; Size may be 0, which means the base's.
	New    disk.CreateOptions
	DryRun bool // find out whether it can be done, and leave nothing
}

// Overlay makes an image at path that reads as base and stores only what changes. Until it is complete nothing is seen under its name, and after an error
// nothing is left of it. It returns what Info tells of the new image.
func Overlay(ctx context.Context, base, path string, o OverlayOptions) (disk.Info, error) {
	if err := context.Cause(ctx); err != nil {
		return disk.Info{}, err
	}
	files, err := foldersOf(o.New.Files)
	if err != nil {
		return disk.Info{}, err
	}
	s := &stage{folders: files}
	defer s.discard()
	o.New.Parent, o.New.Files = base, s
	if err := formats.Create(path, o.New); err != nil {
		return disk.Info{}, overlayHint(err)
	}
	if err := s.free(); err != nil { // the names of its extents are known now
		return disk.Info{}, err
	}
	// A base in another folder is what the user has just asked for.
	i, err := formats.Open(path, disk.OpenOptions{ReadOnly: true, Format: o.New.Format, AllowOutside: true, Files: s})
	if err != nil {
		return disk.Info{}, fmt.Errorf("open what was made: %w", err)
	}
	info := i.Info()
	if err := i.Close(); err != nil || o.DryRun {
		return info, err
	}
	return info, s.publish(false)
}

// overlayHint adds what else can be done where a format takes no such parent.
func overlayHint(err error) error {
	if errors.Is(err, disk.ErrUnsupported) {
		return fmt.Errorf("%w (an overlay in VMDK or qcow2 takes a base of any format)", err)
	}
	return err
}

// numbered is what VMware's snapshots end in.
var numbered = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`-\d{6}$`) })

// OverlayName suggests where an overlay of base may lie: beside it, with the next free number in the manner of VMware's snapshots (disk-000001.vmdk), and
// in the format called format, or else the base's own if that has overlays.
func OverlayName(base, baseFormat, format string, files disk.Files) (string, error) {
	all, err := foldersOf(files)
	if err != nil {
		return "", err
	}
	if format == "" {
		f, err := formats.Find(base, baseFormat)
		if err != nil {
			return "", err
		}
		format = f.Name
		if format == "raw" || format == "vdi" {
			format = "qcow2"
		}
	}
	f, err := formats.Find("", format)
	if err != nil {
		return "", err
	}
	ext := f.Extensions[0]
	if own := strings.ToLower(filepath.Ext(base)); own == ext {
		ext = filepath.Ext(base)
	}
	stem := strings.TrimSuffix(base, filepath.Ext(base))
	stem = numbered().ReplaceAllString(stem, "")
	const last = 999999
	for n := 1; n <= last; n++ {
		path := fmt.Sprintf("%s-%06d%s", stem, n, ext)
		f, err := all.Open(path, disk.FileOptions{Shared: true})
		if errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
		if err == nil {
			f.Close()
		}
	}
	return "", fmt.Errorf("%s: no number is free for an overlay of it", base)
}
