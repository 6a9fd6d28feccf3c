package guest

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
	"github.com/sharevm/vmm/disk/guest/partition"
)

// Free calls yield for the runs of bytes of the disk that are free for sure, in ascending order, none adjacent to the one before. It reads each file
// system's tables twice: a volume is judged as a whole before anything of it is yielded, and one that turns out to be damaged gets a Reason
// instead. An error of yield, of ctx, or of reading the disk ends it and is returned.
func (l *Layout) Free(ctx context.Context, yield func(off, length int64) error) error {
	out := volume.Merger{Yield: yield}
	at := int64(0) // the end of the partitions so far
	for _, k := range l.order() {
		p := &l.Partitions[k]
		if err := l.gap(&out, at, p.Offset); err != nil {
			return err
		}
		if !p.Container {
			at = max(at, p.End())
		}
		if err := l.freePartition(ctx, p, out.Add); err != nil {
			return err
		}
	}
	if err := l.gap(&out, at, l.Size-l.Tail); err != nil {
		return err
	}
	return out.Flush()
}

func (l *Layout) freePartition(ctx context.Context, p *Partition, yield volume.Yield) error {
	p.Unused = 0
	if p.closed {
		return nil
	}
	// It is opened again, since the options may have changed after Scan.
	p.Reason = ""
	f, err := l.open(ctx, p)
	if err == nil {
		err = f.volume.Free(ctx, ordered(p.Length, func(int64, int64) error { return nil }))
	}
	if err == nil {
		err = f.volume.Free(ctx, ordered(p.Length, func(off, length int64) error {
			p.Unused += length
			return yield(p.Offset+off, length)
		}))
	} else if reason := volume.Reason(err); reason != "" {
		p.Reason = reason
		return nil
	}
	if err != nil {
		return fmt.Errorf("partition %d: %w", p.Number, err)
	}
	return nil
}

// ordered passes runs on as long as they ascend within [0, size).
func ordered(size int64, yield volume.Yield) volume.Yield {
	at := int64(0)
	return func(off, length int64) error {
		if off < at || length < 1 || off > size || length > size-off {
			return volume.Refuse("it is damaged: its free space is listed twice, or lies outside the volume")
		}
		at = off + length
		return yield(off, length)
	}
}

// order returns the indices of the partitions by where they start.
func (l *Layout) order() []int {
	o := make([]int, len(l.Partitions))
	for k := range o {
		o[k] = k
	}
	slices.SortStableFunc(o, func(a, b int) int { return cmp.Compare(l.Partitions[a].Offset, l.Partitions[b].Offset) })
	return o
}

// margin is what is left alone at both ends of the disk.
const margin = 1 << 20

// gap yields what lies between two partitions, if that was asked for and the table can be believed.
func (l *Layout) gap(out *volume.Merger, from, to int64) error {
	from, to = max(from, margin), min(to, l.Size-max(l.Tail, margin))
	if !l.Gaps || l.Scheme == "" || from >= to {
		return nil
	}
	for k := range l.entries {
		// Containers have records between the partitions, and a table with contradictions says nothing about what is between.
		if e := &l.entries[k]; e.Container || e.Problem != "" || e.Type == partition.TypeMBRDynamic || e.Type == partition.TypeLDMData {
			return nil
		}
	}
	return out.Add(from, to-from)
}
