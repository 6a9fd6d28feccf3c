package guest

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
	"github.com/sharevm/vmm/disk/guest/partition"
)

// Scan finds out what lies on a disk of size bytes. SectorSize is the disk's logical sector, 512 or 4096, or 0 if that is not known. A partition
// table that cannot be trusted is an error that wraps [partition.ErrDamaged]; other errors come from r or ctx. r must stay
// readable, and its content the same, until Free has been called.
func Scan(ctx context.Context, r io.ReaderAt, size int64, sectorSize int) (*Layout, error) {
	t, err := partition.Read(ctx, r, size, sectorSize)
	if err != nil {
		return nil, err
	}
	hibernated := 0
	l := &Layout{Scheme: t.Scheme, SectorSize: t.SectorSize, Size: size, Notes: t.Notes, Tail: t.Tail, r: r, entries: t.Entries}
	if t.Scheme == "" {
		l.entries = []partition.Entry{{Length: size}}
	}
	for k := range l.entries {
		e := &l.entries[k]
		p := Partition{Number: e.Number, Offset: e.Offset, Length: e.Length, Type: e.Type, Kind: e.Kind, Name: e.Name, Container: e.Container}
		p.Reason = distrust(e)
		if p.closed = p.Reason != ""; !p.closed {
			f, err := l.open(ctx, &p)
			if h, ok := f.volume.(interface{ Hibernated() bool }); ok && h.Hibernated() {
				hibernated = p.Number
			}
			if p.FileSystem = f.name; err != nil {
				if p.Reason = volume.Reason(err); p.Reason == "" {
					return nil, err
				}
			}
		}
		l.Partitions = append(l.Partitions, p)
	}
	l.distrustDynamic()
	if err := l.distrustAmbiguous(ctx); err != nil {
		return nil, err
	}
	l.distrustHibernated(hibernated)
	return l, nil
}

// distrust says why a partition is not even looked at, by its entry in the table.
func distrust(e *partition.Entry) string {
	switch {
	case e.Problem != "":
		return e.Problem
	case e.Container:
		return "it is the extended partition, which holds the logical ones"
	}
	switch e.Type {
	case partition.TypeLVM, partition.TypeMBRLVM:
		return "it belongs to an LVM volume group, which is not read"
	case partition.TypeRAID, partition.TypeMBRRAID:
		return "it belongs to a Linux RAID, which is not read"
	case partition.TypeStorageSpace:
		return "it belongs to Windows Storage Spaces, which are not read"
	}
	return ""
}

// distrustAmbiguous refuses all partitions of an MBR that may as well be the boot sector of a file system on the whole disk.
func (l *Layout) distrustAmbiguous(ctx context.Context) error {
	if l.Scheme != partition.MBR {
		return nil
	}
	head := make([]byte, min(headSize, l.Size))
	if err := (volume.Reader{R: l.r, Size: l.Size}).Read(ctx, head, 0); err != nil {
		return err
	}
	clear(head[min(512, len(head)):]) // what may remain of an older one does not count here
	for _, fs := range fileSystems {
		if fs.claims(head) {
			for k := range l.Partitions {
				l.Partitions[k].closed = true
				l.Partitions[k].Reason = "the disk starts with a partition table and with a file system at once, and which of them is true cannot be told"
			}
		}
	}
	return nil
}

// distrustHibernated refuses the volumes that a hibernated Windows has in use besides the one that shows it.
func (l *Layout) distrustHibernated(number int) {
	for k := range l.Partitions {
		p := &l.Partitions[k]
		if number > 0 && p.Reason == "" && (p.FileSystem == "ntfs" || strings.HasPrefix(p.FileSystem, "fat") || p.FileSystem == "exfat") {
			p.closed = true
			p.Reason = fmt.Sprintf("Windows is hibernated on partition %d and may have this one in use; boot Windows once and shut down, fast startup off", number)
		}
	}
}

// distrustDynamic refuses all partitions of a Windows dynamic disk, whose volumes need not be where its partitions are.
func (l *Layout) distrustDynamic() {
	dynamic := false
	for _, p := range l.Partitions {
		dynamic = dynamic || p.Type == partition.TypeLDMData || p.Type == partition.TypeLDMMetadata || p.Type == partition.TypeMBRDynamic
	}
	if !dynamic {
		return
	}
	for k := range l.Partitions {
		l.Partitions[k].closed = true
		l.Partitions[k].Reason = "the disk is a Windows dynamic disk, whose volumes are not read"
	}
}
