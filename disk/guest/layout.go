package guest

import (
	"io"

	"github.com/sharevm/vmm/disk/guest/partition"
)

// Layout is what lies on a disk.
type Layout struct {
	// Scheme is "gpt", "mbr", or "" for a disk without a partition table. The latter has one Partition, number 0, which is the whole disk.
	Scheme     string
	SectorSize int // bytes that the partition table counts in, 512 or 4096
	Size       int64
	Partitions []Partition
	// Notes are remarks for people about the partition table.
	Notes []string
	// Tail is what the table itself needs at the disk's end, in bytes: the backup GPT.
	Tail int64

	// Gaps has Free yield what lies between partitions, too. Set it before the call. The first and the last MiB of the disk are
	// left alone in any case, since boot loaders and RAID controllers keep things there that no table lists.
	Gaps bool
	// LoseShadowCopies has Free yield what an NTFS that holds shadow copies (restore points) calls unused. Those read such clusters, so that they
	// are damaged when the clusters go. Set it before the call.
	LoseShadowCopies bool

	r       io.ReaderAt
	entries []partition.Entry // of Partitions, one each
}

// Partition is a run of the disk that may hold a file system.
type Partition struct {
	Number int    // as Linux numbers them; 0 is the whole disk
	Offset int64  // bytes from the disk's start
	Length int64  // bytes
	Type   string // of a GPT the type GUID in upper case, of an MBR "0x07" and so on, else ""
	Kind   string // what Type means, in words, or ""
	Name   string // of a GPT, or ""
	// FileSystem is what was recognised: "ntfs", "ext4", "fat32", "xfs", or something that is not read, such as "bitlocker" or "lvm"; or "".
	FileSystem string
	// Reason says in words for people why the partition contributes no free space, or is "". Scan sets it from what can be told at a glance, and Free
	// where the file system turns out to contradict itself.
	Reason string
	// Unused is how many bytes of the partition Free yielded.
	Unused int64
	// Container says that this is an MBR's extended partition, which holds the logical ones.
	Container bool

	closed bool // by its entry in the table it is not to be looked at
}

// End is the first byte behind the partition.
func (p *Partition) End() int64 { return p.Offset + p.Length }

// End is the first byte behind the last partition, in bytes: what a smaller disk has to keep, besides Tail.
func (l *Layout) End() int64 {
	end := int64(0)
	for k := range l.Partitions {
		end = max(end, l.Partitions[k].End())
	}
	return end
}
