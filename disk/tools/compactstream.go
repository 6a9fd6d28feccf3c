package tools

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// streamVariant is the VMDK whose blocks are compressed one behind the other, so that they cannot be moved.
const streamVariant = "streamOptimized"

// rewrite makes a streamOptimized disk anew beside itself, and then puts it in its place.
func (c *compaction) rewrite(ctx context.Context) error {
	info := c.image.Info()
	if info.Parent != "" {
		return fmt.Errorf("%s: %w: compressed snapshots are not rewritten; flatten it", info.Path, disk.ErrUnsupported)
	}
	if err := noLink(info.Path); err != nil {
		return err
	}
	if err := c.estimate(ctx); err != nil || c.o.DryRun {
		return err
	}
	free, err := c.freeList(ctx)
	if err != nil {
		return err
	}
	src := masked{c.image, free}
	w, err := newOutput(info.Path+".compact", false, nil)
	if err != nil {
		return err
	}
	defer w.discard()
	w.path = filepath.Join(filepath.Dir(w.path), filepath.Base(info.Path)) // its descriptor names the file
	o := disk.CreateOptions{Format: info.Format, Variant: info.Variant, Size: info.Size, BlockSize: info.BlockSize}
	if err := formats.Create(w.path, o); err != nil {
		return err
	}
	if err := c.fill(ctx, w.path, src, info.Format); err != nil {
		return w.explain(err)
	}
	// The old one stays open, and locked, until the new one has its name.
	if err := replaceFile(w.path, info.Path); err != nil {
		return err
	}
	c.r.Warnings = append(c.r.Warnings, "The image was made anew, with a new identifier and descriptor.")
	return disk.SyncFolder(filepath.Dir(info.Path))
}

// fill copies src to the image at path, and compares.
func (c *compaction) fill(ctx context.Context, path string, src disk.Image, format string) error {
	dst, err := formats.Open(path, disk.OpenOptions{Format: format, Logger: c.o.Open.Logger})
	if err != nil {
		return err
	}
	_, err = Copy(ctx, dst, src, c.o.Moving)
	if err := errors.Join(err, dst.Close()); err != nil {
		return err
	}
	if dst, err = formats.Open(path, disk.OpenOptions{Format: format, ReadOnly: true}); err != nil {
		return fmt.Errorf("%w: %w", ErrVerify, err)
	}
	defer dst.Close()
	d, err := Compare(ctx, src, dst, CompareOptions{Progress: c.o.Looking})
	if err == nil && d != nil {
		err = fmt.Errorf("%w: at byte %d", ErrVerify, d.Offset)
	}
	return err
}
