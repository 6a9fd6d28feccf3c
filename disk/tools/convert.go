package tools

import (
	"context"
	"errors"
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// ErrVerify is wrapped by Convert's error when what was written does not read back as it should.
var ErrVerify = errors.New("the copy differs from the original")

// ConvertOptions says how to convert.
type ConvertOptions struct {
	In disk.OpenOptions
	// Out describes the new image; its size is the old one's.
	Out    disk.CreateOptions
	Force  bool // replace what is there
	Verify bool // compare the new image with the old one before it gets its name
	DryRun bool // find out whether it can be done, and change nothing
	// Copying and Verifying are told how far each step has come.
	Copying, Verifying Progress
}

// Converted is what Convert did.
type Converted struct {
	Size     int64    // bytes of the disk
	Written  int64    // bytes of it that had to be stored; after a dry run, at most so many
	Warnings []string // what the new image cannot keep of the old one, one sentence each
}

// Convert makes out an image that reads as in does. Until it is complete and on the host's disk nothing of it is visible under out's
// name, and after an error nothing is left of it.
func Convert(ctx context.Context, in, out string, o ConvertOptions) (*Converted, error) {
	o.In.ReadOnly = true
	src, parents, err := openChain(in, o.In)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	format, err := formats.Find(out, o.Out.Format)
	if err != nil {
		return nil, err
	}
	r := &Converted{Size: src.Size(), Warnings: src.Info().Warnings}
	r.fit(&o.Out, src.Info(), format.Name)

	sources := src.Info().Files
	for _, p := range parents {
		sources = append(sources, p.Files...)
	}
	w, err := newOutput(out, o.Force, sources)
	if err != nil {
		return nil, err
	}
	defer w.discard()
	if err := formats.Create(w.path, o.Out); err != nil {
		return nil, w.explain(err)
	}
	if err := w.check(); err != nil { // the names of its extents are known now
		return nil, err
	}
	if o.DryRun {
		err := stored(ctx, src, coarseHole, func(_, length int64) error {
			r.Written += length
			return nil
		})
		return r, err
	}
	if err := r.fill(ctx, w.path, src, o); err != nil {
		return nil, w.explain(err)
	}
	if o.Verify {
		if err := verify(ctx, w.path, src, o); err != nil {
			return nil, w.explain(err)
		}
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return r, w.commit()
}

// fit makes the new image's options suit the old one, as far as its format can.
func (r *Converted) fit(o *disk.CreateOptions, in disk.Info, format string) {
	const sector = 512
	o.Size = in.Size
	if rest := o.Size % sector; rest != 0 && format != "raw" {
		o.Size += sector - rest
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d zero bytes were added, because %s counts in sectors of %d.", sector-rest, format, sector))
	}
	switch {
	case in.SectorSize <= sector || o.SectorSize != 0:
	case format == "vhdx":
		o.SectorSize = in.SectorSize
	default:
		r.Warnings = append(r.Warnings, fmt.Sprintf("The disk was made for sectors of %d bytes, which %s does not record; systems on it may not find their partitions.", in.SectorSize, format))
	}
}

// fill copies src to the new image at path, and closes it with everything on the host's disk.
func (r *Converted) fill(ctx context.Context, path string, src disk.Image, o ConvertOptions) (err error) {
	dst, err := formats.Open(path, disk.OpenOptions{Format: o.Out.Format, Logger: o.Out.Logger})
	if err != nil {
		return err
	}
	r.Written, err = Copy(ctx, dst, src, o.Copying)
	return errors.Join(err, dst.Close())
}

func verify(ctx context.Context, path string, src disk.Image, o ConvertOptions) error {
	dst, err := formats.Open(path, disk.OpenOptions{Format: o.Out.Format, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrVerify, err)
	}
	defer dst.Close()
	d, err := Compare(ctx, src, dst, CompareOptions{Pad: true, Progress: o.Verifying})
	if err == nil && d != nil {
		err = fmt.Errorf("%w: at byte %d", ErrVerify, d.Offset)
	}
	return err
}
