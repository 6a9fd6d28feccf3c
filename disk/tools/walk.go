package tools

import (
	"context"
	"fmt"

	"github.com/sharevm/vmm/disk"
)

// batch is how many extents are asked for at once, so that neither a list of them nor an image's walk through its tables lasts long.
const batch = 1024

// walk calls yield for the extents of [off, off+length) of i in order. Unlike Extents itself it lets yield use i, and heeds ctx.
func walk(ctx context.Context, i disk.Image, off, length int64, yield func(disk.Extent) error) error {
	list := make([]disk.Extent, 0, batch)
	for end := off + length; off < end; {
		list = list[:0]
		err := i.Extents(off, end-off, func(e disk.Extent) bool {
			list = append(list, e)
			return len(list) < batch && ctx.Err() == nil
		})
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if len(list) == 0 {
			return fmt.Errorf("%s: no extent at byte %d of its %d", i.Info().Path, off, i.Size())
		}
		for _, e := range list {
			if err := yield(e); err != nil {
				return err
			}
			off = e.Offset + e.Length
		}
	}
	return nil
}

// Map calls yield for the extents of i, neighbours of the same kind joined, until yield returns an error.
func Map(ctx context.Context, i disk.Image, yield func(disk.Extent) error) error {
	var last disk.Extent
	err := walk(ctx, i, 0, i.Size(), func(e disk.Extent) error {
		if last.Length > 0 && continues(last, e) {
			last.Length += e.Length
			return nil
		}
		before := last
		last = e
		if before.Length == 0 {
			return nil
		}
		return yield(before)
	})
	if err != nil || last.Length == 0 {
		return err
	}
	return yield(last)
}

// continues says whether b lies right behind a, on the disk and in its file.
func continues(a, b disk.Extent) bool {
	return a.Kind == b.Kind && a.Depth == b.Depth && (a.Host < 0 && b.Host < 0 || a.Host >= 0 && b.Host == a.Host+a.Length)
}

// stored calls yield for the ranges of i that hold data, widened to multiples of align and joined where they then meet.
func stored(ctx context.Context, i disk.Image, align int64, yield func(off, length int64) error) error {
	var from, to int64 // what is not yielded yet
	size := i.Size()
	err := walk(ctx, i, 0, size, func(e disk.Extent) error {
		if e.Kind != disk.Data {
			return nil
		}
		start, end := e.Offset-e.Offset%align, min((e.Offset+e.Length+align-1)/align*align, size)
		if start <= to {
			to = max(to, end)
			return nil
		}
		var err error
		if to > from {
			err = yield(from, to-from)
		}
		from, to = start, end
		return err
	})
	if err != nil || to == from {
		return err
	}
	return yield(from, to-from)
}
