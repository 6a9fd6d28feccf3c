package tools

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/guest"
	"github.com/sharevm/vmm/disk/guest/partition"
	"github.com/sharevm/vmm/internal/size"
)

// ErrInTheWay is wrapped by Resize's error when a smaller disk would lose something.
var ErrInTheWay = errors.New("it cannot be made that small")

// ResizeOptions says how to resize.
type ResizeOptions struct {
	Open disk.OpenOptions
	// Size returns the size that is wanted, given the present one. It is rounded up to whole sectors.
	Size   func(now int64) (int64, error)
	DryRun bool // find out whether it can be done, and change nothing
	// Looking is told how much of what would be cut off was looked at.
	Looking Progress
}

// Resized is what Resize did.
type Resized struct {
	Before, After int64
	// MovedGPT says that the copy of the partition table at the disk's end went to the new end.
	MovedGPT bool
	// Advice is what is left to do in the guest, one sentence each.
	Advice   []string
	Warnings []string
}

// Resize changes the capacity of an image in place. It cuts off nothing but zeroes that belong to no partition, and keeps the backup GPT at the disk's end.
// It can be interrupted at any moment, and repeated.
func Resize(ctx context.Context, path string, o ResizeOptions) (r *Resized, err error) {
	i, _, err := openSole(ctx, path, o.Open, o.DryRun)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	z := newResize(i, o)
	if err := z.run(ctx); err != nil {
		return nil, err
	}
	return z.r, nil
}

type resize struct {
	o      ResizeOptions
	image  disk.Image
	r      *Resized
	table  *partition.Table // nil if it is damaged
	layout *guest.Layout    // likewise
}

func newResize(i disk.Image, o ResizeOptions) *resize {
	return &resize{o: o, image: i, r: &Resized{Before: i.Size(), Warnings: i.Info().Warnings}}
}

func (z *resize) run(ctx context.Context) error {
	info := z.image.Info()
	resizer, ok := z.image.(disk.Resizer)
	if !ok {
		return fmt.Errorf("%s: %w: %s images cannot be resized in place; convert it", info.Path, disk.ErrUnsupported, formatOf(info))
	}
	want, err := z.o.Size(z.r.Before)
	if err != nil {
		return err
	}
	sector := int64(max(512, info.SectorSize))
	if want < 0 || want > 1<<62 {
		return fmt.Errorf("%s: a disk of %d bytes cannot be", info.Path, want)
	}
	z.r.After = (want + sector - 1) / sector * sector
	if err := z.look(ctx, info.SectorSize); err != nil {
		return err
	}
	if z.r.After < z.r.Before {
		if err := z.judge(ctx); err != nil {
			return err
		}
	}
	z.advise()
	if z.o.DryRun {
		z.r.MovedGPT = z.misplaced()
		return nil
	}
	if z.r.After >= z.r.Before {
		if err := z.set(resizer); err != nil {
			return err
		}
		return z.move(ctx)
	}
	if err := z.move(ctx); err != nil {
		return err
	}
	return z.set(resizer)
}

func (z *resize) set(r disk.Resizer) error {
	if z.r.After == z.r.Before {
		return nil
	}
	return r.Resize(z.r.After)
}

// look reads the partition table. A larger disk does no harm to a damaged one.
func (z *resize) look(ctx context.Context, sectorSize int) error {
	if sectorSize != 4096 {
		sectorSize = 0 // a format that does not record it says 512
	}
	var err error
	if z.table, err = partition.Read(ctx, z.image, z.r.Before, sectorSize); err == nil {
		z.layout, err = guest.Scan(ctx, z.image, z.r.Before, sectorSize)
	}
	if err == nil {
		return nil
	}
	if !errors.Is(err, partition.ErrDamaged) {
		return fmt.Errorf("read the partitions of %s: %w", z.image.Info().Path, err)
	}
	if z.r.After < z.r.Before {
		return fmt.Errorf("%s: %w: nobody can tell what lies at its end: %w", z.image.Info().Path, ErrInTheWay, err)
	}
	z.table, z.layout = nil, nil
	z.r.Warnings = append(z.r.Warnings, fmt.Sprintf("The partition table was left alone: %v.", err))
	return nil
}

// backup is where the backup GPT lies that the table speaks of; empty if there is none.
func (z *resize) backup() span {
	if z.table == nil || z.table.Scheme != partition.GPT {
		return span{}
	}
	end := z.table.Alternate
	if end <= 0 || end > z.r.Before {
		end = z.r.Before
	}
	return span{max(0, end-z.table.Tail), end}
}

// misplaced says whether there is a backup GPT that does not lie where the disk is to end.
func (z *resize) misplaced() bool {
	b := z.backup()
	return b.to != 0 && b.to != z.r.After
}

// move brings the backup GPT to the end of the disk.
func (z *resize) move(ctx context.Context) error {
	if !z.misplaced() {
		return nil
	}
	if err := partition.MoveBackupGPT(ctx, z.image, z.backup().to, z.r.After, z.table.SectorSize); err != nil {
		return fmt.Errorf("%s: %w", z.image.Info().Path, err)
	}
	z.r.MovedGPT = true
	return nil
}

// judge refuses a smaller disk unless nothing but zeroes outside of all partitions is cut off.
func (z *resize) judge(ctx context.Context) error {
	path, tail := z.image.Info().Path, z.layout.Tail
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w: %s", path, ErrInTheWay, fmt.Sprintf(format, args...))
	}
	for k := range z.layout.Partitions {
		p := &z.layout.Partitions[k]
		switch {
		case z.layout.Scheme == "" && p.FileSystem != "":
			return refuse("the whole disk is one file system (%s), without a partition table that says where it ends; make a smaller disk and copy the files to it in a guest", p.FileSystem)
		case z.layout.Scheme == "":
		case p.End() > z.r.After-tail:
			return refuse("%s ends at byte %d; the smallest disk that holds all partitions has %d bytes (%s)",
				describePartition(p), p.End(), z.layout.End()+tail, size.Format(z.layout.End()+tail))
		}
	}
	if z.layout.Scheme == "" {
		tail = 0
	}
	return z.zeroes(ctx, max(0, z.r.After-tail), refuse)
}

// backups are where the backup GPT lies, and where an earlier attempt that was interrupted may have left some of it: at the new end and at the old one.
func (z *resize) backups() ([]span, error) {
	list := []span{z.backup()}
	if list[0].to == 0 {
		return nil, nil
	}
	for _, end := range []int64{z.r.After, z.r.Before} {
		s := span{end - z.table.Tail, end}
		if s.from < 0 || s.to-s.from <= int64(z.table.SectorSize) {
			continue
		}
		left, err := z.leftOver(s)
		if err != nil {
			return nil, err
		}
		if left {
			list = append(list, s)
		}
	}
	return list, nil
}

// leftOver says whether a place holds nothing but sectors of a backup GPT of this disk.
func (z *resize) leftOver(s span) (bool, error) {
	const guidAt, arrayAt = 56, 72 // in the header
	sector := int64(z.table.SectorSize)
	header, array, here := make([]byte, sector), make([]byte, s.to-s.from-sector), make([]byte, s.to-s.from)
	if _, err := z.image.ReadAt(header, sector); err != nil {
		return false, err
	}
	at := binary.LittleEndian.Uint64(header[arrayAt:])
	if at > uint64((z.r.Before-int64(len(array)))/sector) {
		return false, nil
	}
	if _, err := z.image.ReadAt(array, int64(at)*sector); err != nil {
		return false, err
	}
	if _, err := z.image.ReadAt(here, s.from); err != nil {
		return false, err
	}
	for k := int64(0); k < int64(len(array)); k += sector {
		if p := here[k : k+sector]; !isZero(p) && !bytes.Equal(p, array[k:k+sector]) {
			return false, nil
		}
	}
	last := here[len(array):]
	return isZero(last) || bytes.Equal(last[:8], header[:8]) && bytes.Equal(last[guidAt:guidAt+16], header[guidAt:guidAt+16]), nil
}

// zeroes refuses if there is any data from a place on, the backup GPT aside.
func (z *resize) zeroes(ctx context.Context, from int64, refuse func(string, ...any) error) error {
	total := z.r.Before - from
	backups, err := z.backups()
	if err != nil {
		return err
	}
	z.o.Looking.report(0, total)
	buf := make([]byte, pieceSize)
	err = walk(ctx, z.image, from, total, func(e disk.Extent) error {
		for at := e.Offset; e.Kind == disk.Data && at < e.Offset+e.Length; {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			p := buf[:min(int64(len(buf)), e.Offset+e.Length-at)]
			if _, err := z.image.ReadAt(p, at); err != nil {
				return err
			}
			for _, b := range backups {
				clear(p[min(int64(len(p)), max(0, b.from-at)):min(int64(len(p)), max(0, b.to-at))])
			}
			if !isZero(p) {
				return refuse("there is data behind byte %d, outside of all partitions", at+int64(firstByte(p)))
			}
			at += int64(len(p))
			z.o.Looking.report(at-from, total)
		}
		return nil
	})
	if err == nil {
		z.o.Looking.report(total, total)
	}
	return err
}

// firstByte is the index of the first byte of p that is not zero.
func firstByte(p []byte) int {
	for k, b := range p {
		if b != 0 {
			return k
		}
	}
	return len(p)
}

// describePartition names a partition for people.
func describePartition(p *guest.Partition) string {
	what := p.FileSystem
	if what == "" {
		what = p.Kind
	}
	name := "the disk" // without partitions
	if p.Number > 0 {
		name = fmt.Sprintf("partition %d", p.Number)
	}
	if what != "" {
		name += " (" + what + ")"
	}
	return name
}

// advise says what the guest has to do with a larger disk.
func (z *resize) advise() {
	if z.layout == nil || z.r.After <= z.r.Before {
		return
	}
	say := func(format string, args ...any) { z.r.Advice = append(z.r.Advice, fmt.Sprintf(format, args...)) }
	const reach = 2 << 40 // of an MBR, with sectors of 512 bytes
	if z.layout.Scheme == partition.MBR && z.r.After > reach && z.layout.SectorSize == 512 {
		say("The disk has an MBR, which reaches no further than 2 TiB; the guest can use the rest only with a GPT.")
	}
	if z.layout.Scheme == "" {
		if p := z.layout.Partitions[0]; p.FileSystem != "" {
			say("%s", grow(&p, "The file system on the disk"))
		}
		return
	}
	last := z.last()
	if last == nil {
		return
	}
	room := z.r.After - z.layout.Tail - last.End()
	say("%s behind %s are free now. %s", size.Format(room), describePartition(last), grow(last, "It"))
}

// last returns the partition at the disk's end that is no container of others, or nil if there is none.
func (z *resize) last() (last *guest.Partition) {
	for k := range z.layout.Partitions {
		if p := &z.layout.Partitions[k]; !p.Container && (last == nil || p.End() > last.End()) {
			last = p
		}
	}
	return last
}

// grow says how a partition is grown, by what is on it.
func grow(p *guest.Partition, what string) string {
	first := "growpart and "
	if p.Number == 0 {
		first = "" // there is no partition
	}
	switch p.FileSystem {
	case "ntfs":
		return what + " is grown in Windows, by Disk Management or by diskpart's extend."
	case "ext2", "ext3", "ext4":
		return what + " is grown in Linux, by " + first + "resize2fs."
	case "xfs":
		return what + " is grown in Linux, by " + first + "xfs_growfs."
	case "":
		return "If it is not the one to be grown, it has to be moved out of the way first."
	}
	return what + " is grown in the guest, if its system can do that."
}
