package debiandisk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sharevm/vmm/images/bootdisk"
)

// Where things are on the disk, in sectors of 512 bytes: GRUB's own partition, the EFI system partition and the root file system, which ends 1 MiB before the
// disk does.
const (
	sector    = 512
	grubStart = 34
	espStart  = 2048
	rootStart = espStart + 16<<20/sector
	rootEnd   = rootStart + 768<<20/sector
	diskSize  = rootEnd*sector + 1<<20
)

var sizes = []int64{grubStart, espStart, rootStart, rootEnd, diskSize}

// grubModules are what GRUB needs to find its menu and start what stands there.
var grubModules = []string{"part_gpt", "ext2", "normal", "configfile", "linux", "serial", "terminal", "echo", "boot", "search", "search_label"}

// label is the root file system's, by which GRUB finds it.
const label = "debian-root"

// layOut makes the disk at path from the files in root.
func layOut(ctx context.Context, path, root, work string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(diskSize), f.Close()); err != nil {
		return err
	}
	if err := run(ctx, "sgdisk", "--set-alignment=1",
		fmt.Sprintf("--new=1:%d:%d", grubStart, espStart-1), "--typecode=1:ef02", "--change-name=1:grub",
		fmt.Sprintf("--new=2:%d:%d", espStart, rootStart-1), "--typecode=2:ef00", "--change-name=2:esp",
		fmt.Sprintf("--new=3:%d:%d", rootStart, rootEnd-1), "--typecode=3:8304", "--change-name=3:root", path); err != nil {
		return err
	}
	if err := run(ctx, "mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-E", fmt.Sprintf("offset=%d", rootStart*sector), "-d", root,
		path, fmt.Sprintf("%dk", (rootEnd-rootStart)*sector>>10)); err != nil {
		return err
	}
	early := filepath.Join(work, "early.cfg")
	if err := os.WriteFile(early, []byte("search --no-floppy --set=root --label "+label+"\nset prefix=($root)/boot/grub\n"), 0o644); err != nil {
		return err
	}
	core, efi := filepath.Join(work, "core.img"), filepath.Join(work, "BOOTX64.EFI")
	if err := bootdisk.MakeGRUB(ctx, "i386-pc", core, early, "/boot/grub", append([]string{"biosdisk"}, grubModules...)...); err != nil {
		return err
	}
	if err := bootdisk.MakeGRUB(ctx, "x86_64-efi", efi, early, "/boot/grub", append([]string{"efi_gop", "all_video"}, grubModules...)...); err != nil {
		return err
	}
	if err := writeESP(ctx, path, efi); err != nil {
		return err
	}
	return writeStages(path, core)
}

func writeESP(ctx context.Context, path, efi string) error {
	files := fmt.Sprintf("%s@@%d", path, espStart*sector)
	if err := run(ctx, "mformat", "-i", files, "-T", fmt.Sprint(rootStart-espStart), "-h", "255", "-s", "63", "-v", "ESP", "::"); err != nil {
		return err
	}
	if err := run(ctx, "mmd", "-i", files, "::/EFI", "::/EFI/BOOT"); err != nil {
		return err
	}
	return run(ctx, "mcopy", "-i", files, efi, "::/EFI/BOOT/BOOTX64.EFI")
}

// writeStages puts GRUB for BIOS beside the protective partition table and into its partition.
func writeStages(path, core string) error {
	boot, stage, err := bootdisk.Stages(core, grubStart)
	if err != nil {
		return err
	}
	if len(stage) > (espStart-grubStart)*sector {
		return fmt.Errorf("GRUB of %d bytes", len(stage))
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, w := range []struct {
		data []byte
		at   int64
	}{{boot[:bootdisk.BootCode], 0}, {stage, grubStart * sector}} {
		if _, err := io.NewOffsetWriter(f, w.at).Write(w.data); err != nil {
			return err
		}
	}
	return f.Close()
}
