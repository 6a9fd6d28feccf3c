package bootdisk

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
)

// MakeGRUB makes an image of GRUB with some of its modules. Format is i386-pc or x86_64-efi, prefix where it looks for its configuration, and early
// a file of commands that it carries out before, or "".
func MakeGRUB(ctx context.Context, format, out, early, prefix string, names ...string) error {
	args := []string{"-d", filepath.Join(modules, format), "-O", format, "-p", prefix, "-o", out}
	if early != "" {
		args = append(args, "-c", early)
	}
	return run(ctx, "grub-mkimage", append(args, names...)...)
}

// BootCode is how much of the first sector is GRUB's, in bytes: a partition table and its signature follow.
const BootCode = 440

// Stages returns GRUB's two stages for BIOS: the disk's first sector, and what is to be written at a sector of the disk, which the first one starts.
func Stages(core string, at uint64) (boot, stage []byte, err error) {
	const (
		offKernelSector = 0x5C  // in boot.img: where the core image begins
		offBlocks       = 0x1F4 // in the core image's first sector: where the rest of it is
		loadSegment     = 0x820
	)
	if boot, err = os.ReadFile(filepath.Join(modules, "i386-pc", "boot.img")); err != nil {
		return nil, nil, fmt.Errorf("%w (it comes with Debian's package grub-pc-bin)", err)
	}
	if stage, err = os.ReadFile(core); err != nil {
		return nil, nil, err
	}
	if len(boot) != sector || len(stage) < 2*sector {
		return nil, nil, fmt.Errorf("GRUB of %d and %d bytes", len(boot), len(stage))
	}
	stage = append(stage, make([]byte, -len(stage)&(sector-1))...)
	le := binary.LittleEndian
	le.PutUint64(boot[offKernelSector:], at)
	le.PutUint64(stage[offBlocks:], at+1)
	le.PutUint16(stage[offBlocks+8:], uint16(len(stage)/sector-1))
	le.PutUint16(stage[offBlocks+10:], loadSegment)
	boot[510], boot[511] = 0x55, 0xAA
	return boot, stage, nil
}
