package guest

import (
	"bytes"
	"context"
	"io"
	"strings"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

// signature is how a kind of content shows itself: magic at off bytes from the start of the partition.
type signature struct {
	name, words string
	off         int64
	magic       string
}

// foreign are contents that are recognised but not read. Several of them leave an older file system's superblock in its place, so
// what is found there must not be believed.
var foreign = []signature{
	{"bitlocker", "BitLocker encrypts it", 3, "-FVE-FS-"},
	{"bitlocker", "BitLocker encrypts it", 0x1a8, "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01"},
	{"luks", "LUKS encrypts it", 0, "LUKS\xba\xbe"},
	{"luks", "LUKS encrypts it", 0x4000, "SKUL\xba\xbe"},
	{"lvm", "it belongs to an LVM volume group, which is not read", 0, "LABELONE"},
	{"lvm", "it belongs to an LVM volume group, which is not read", 512, "LABELONE"},
	{"lvm", "it belongs to an LVM volume group, which is not read", 1024, "LABELONE"},
	{"lvm", "it belongs to an LVM volume group, which is not read", 1536, "LABELONE"},
	{"raid", raidWords, 0, raidMagic},
	{"raid", raidWords, 4096, raidMagic},
	{"bcache", "it belongs to a bcache, which is not read", 4096 + 24, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"},
	{"bcachefs", "bcachefs is not read", 4096 + 24, "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"},
	{"refs", "ReFS is not read", 3, "ReFS\x00\x00\x00\x00"},
	{"storagespaces", "it belongs to Windows Storage Spaces, which are not read", 0, "SPACEDB "},
	{"storagespaces", "it belongs to Windows Storage Spaces, which are not read", 4096, "SPACEDB "},
	{"btrfs", "btrfs is not read", 0x10040, "_BHRfS_M"},
	{"hfs+", "HFS+ is not read", 1024, "H+\x00\x04"},
	{"hfs+", "HFS+ is not read", 1024, "HX\x00\x05"},
	{"apfs", "APFS is not read", 32, "NXSB"},
	{"f2fs", "F2FS is not read", 1024, "\x10\x20\xf5\xf2"},
	{"vmfs", "VMFS is not read", 0x100000, "\x0d\xd0\x01\xc0"},
	{"iso9660", "it is a CD-ROM's file system, which has no free space", 0x8001, "CD001"},
	{"squashfs", "squashfs has no free space", 0, "hsqs"},
	{"jfs", "JFS is not read", 0x8000, "JFS1"},
	{"reiserfs", "ReiserFS is not read", 0x10034, "ReIsEr"},
	{"swap", swapWords, 4096 - 10, "SWAPSPACE2"},
	{"swap", swapWords, 16384 - 10, "SWAPSPACE2"},
	{"swap", swapWords, 65536 - 10, "SWAPSPACE2"},
	{"swap", swapWords, 4096 - 10, "SWAP-SPACE"},
	{"swap", "it is swap space that a hibernated Linux left its memory in", 4096 - 10, "S1SUSPEND\x00"},
	{"swap", "it is swap space that a hibernated Linux left its memory in", 4096 - 10, "ULSUSPEND\x00"},
}

const (
	raidMagic = "\xfc\x4e\x2b\xa9"
	raidWords = "it belongs to a Linux RAID, which is not read"
	swapWords = "swap space is left alone"
)

// fileSystem is a kind of file system that is read.
type fileSystem struct {
	name string
	// claims says by the first 4 KiB of a volume whether it looks like one, whatever its state.
	claims func(head []byte) bool
	// open judges the volume. A [volume.Refusal] says why it cannot be used; there may be a volume nevertheless, if only for its name.
	open func(ctx context.Context, r volume.Reader, o options) (fileSystemVolume, error)
}

// options are what a user may insist on.
type options struct{ loseShadowCopies bool }

// found is what open made of a partition.
type found struct {
	name   string
	volume fileSystemVolume
}

// headSize is what claims is shown.
const headSize = 4096

// open recognises what lies in a partition and opens it. A Refusal says why it is of no use.
func (l *Layout) open(ctx context.Context, p *Partition) (found, error) {
	v := volume.Reader{R: io.NewSectionReader(l.r, p.Offset, p.Length), Size: p.Length}
	head := make([]byte, min(headSize, p.Length))
	if err := v.Read(ctx, head, 0); err != nil {
		return found{}, err
	}
	var names []string
	add := func(name string) {
		for _, n := range names {
			if n == name {
				return
			}
		}
		names = append(names, name)
	}
	var words string
	for _, s := range foreign {
		is, err := holds(ctx, v, s.off, s.magic)
		if err != nil {
			return found{}, err
		}
		if is {
			words = s.words
			add(s.name)
		}
	}
	if is, err := raidAtEnd(ctx, v); err != nil {
		return found{}, err
	} else if is {
		words = raidWords
		add("raid")
	}
	var fs *fileSystem
	for k := range fileSystems {
		if fileSystems[k].claims(head) {
			fs = &fileSystems[k]
			add(fs.name)
		}
	}
	switch {
	case len(names) == 0 && bytes.Count(head, []byte{0}) == len(head):
		return found{}, volume.Refuse("it holds no file system that is known; it starts with zeroes")
	case len(names) == 0:
		return found{}, volume.Refuse("it holds no file system that is known")
	case len(names) > 1:
		return found{name: strings.Join(names, "+")}, volume.Refuse("it bears the marks of %s at once, and which of them is true cannot be told", strings.Join(names, " and "))
	case words != "":
		return found{name: names[0]}, volume.Refuse("%s", words)
	}
	f := found{name: fs.name}
	var err error
	f.volume, err = fs.open(ctx, v, options{l.LoseShadowCopies})
	if f.volume != nil {
		f.name = f.volume.Name()
	}
	return f, err
}

// holds says whether the volume has magic at off. A volume that ends before does not.
func holds(ctx context.Context, v volume.Reader, off int64, magic string) (bool, error) {
	if off < 0 || off+int64(len(magic)) > v.Size {
		return false, nil
	}
	p := make([]byte, len(magic))
	if err := v.Read(ctx, p, off); err != nil {
		return false, err
	}
	return string(p) == magic, nil
}

// raidAtEnd finds the superblock of a Linux RAID of version 0.90 or 1.0, in front of which lies what looks like any file system.
func raidAtEnd(ctx context.Context, v volume.Reader) (bool, error) {
	const block = 64 << 10
	for _, off := range []int64{v.Size&^(block-1) - block, (v.Size/512 - 16) &^ 7 * 512} {
		if is, err := holds(ctx, v, off, raidMagic); is || err != nil {
			return is, err
		}
	}
	return false, nil
}
