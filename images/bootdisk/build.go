package bootdisk

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	sector    = 512
	start     = 1 << 20 // of the partition; GRUB for BIOS lies before it
	partition = "msdos1"
	folder    = "/grub"
	modules   = "/usr/lib/grub"
)

// Config says what is on the disk.
type Config struct {
	Kernel, Initrd string // paths
	Cmdline        string
	Size           int64 // of the disk in bytes, a multiple of 1 MiB
}

// Build makes the disk at path.
func Build(ctx context.Context, path string, c Config) (err error) {
	work, err := os.MkdirTemp("", "bootdisk")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	defer func() {
		if err != nil {
			err = fmt.Errorf("boot disk %s: %w", path, err)
		}
	}()
	core, efi := filepath.Join(work, "core.img"), filepath.Join(work, "BOOTX64.EFI")
	common := []string{"part_msdos", "fat", "normal", "configfile", "linux", "serial", "terminal", "echo", "boot", "reboot", "halt", "search", "search_fs_file"}
	for _, g := range []struct {
		format, prefix, out string
		modules             []string
	}{
		{"i386-pc", "(hd0," + partition + ")" + folder, core, []string{"biosdisk"}},
		{"x86_64-efi", folder, efi, []string{"efi_gop", "all_video"}},
	} {
		if err := MakeGRUB(ctx, g.format, g.out, "", g.prefix, append(g.modules, common...)...); err != nil {
			return err
		}
	}
	if err := writeBIOS(path, core, c.Size); err != nil {
		return err
	}
	files := fmt.Sprintf("%s@@%d", path, start)
	if err := run(ctx, "mformat", "-i", files, "-T", fmt.Sprint((c.Size-start)/sector), "-h", "255", "-s", "63", "-v", "BOOT", "::"); err != nil {
		return err
	}
	if err := run(ctx, "mmd", "-i", files, "::/EFI", "::/EFI/BOOT", "::"+folder); err != nil {
		return err
	}
	for _, f := range []struct{ from, to string }{{efi, "/EFI/BOOT/BOOTX64.EFI"}, {c.Kernel, "/vmlinuz"}, {c.Initrd, "/initrd"}} {
		if err := run(ctx, "mcopy", "-i", files, f.from, "::"+f.to); err != nil {
			return err
		}
	}
	return SetCmdline(ctx, path, c.Cmdline)
}

// SetCmdline changes the kernel's command line on a disk that Build made.
func SetCmdline(ctx context.Context, path, cmdline string) error {
	menu := fmt.Sprintf(`serial --unit=0 --speed=115200
terminal_output serial console
set timeout=0
menuentry test {
	echo "grub: on $grub_platform"
	linux /vmlinuz %s
	initrd /initrd
}
`, cmdline)
	c := exec.CommandContext(ctx, "mcopy", "-o", "-i", fmt.Sprintf("%s@@%d", path, start), "-", "::"+folder+"/grub.cfg")
	c.Stdin = strings.NewReader(menu)
	return report(c)
}

// writeBIOS makes the disk with its partition table and GRUB's two stages for BIOS.
func writeBIOS(path, core string, size int64) error {
	const (
		offTable    = 0x1BE
		active, efi = 0x80, 0xEF
	)
	disk, stage, err := Stages(core, 1)
	if err != nil {
		return err
	}
	if len(stage) > start-sector {
		return fmt.Errorf("GRUB of %d bytes", len(stage))
	}
	le := binary.LittleEndian
	entry := disk[offTable:]
	clear(entry[:64])
	entry[0], entry[4] = active, efi
	copy(entry[1:4], "\xFE\xFF\xFF") // beyond what cylinders and heads can say
	copy(entry[5:8], "\xFE\xFF\xFF")
	le.PutUint32(entry[8:], start/sector)
	le.PutUint32(entry[12:], uint32((size-start)/sector))
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(append(disk, stage...)); err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	return f.Close()
}

func run(ctx context.Context, name string, args ...string) error {
	return report(exec.CommandContext(ctx, name, args...))
}

// report runs a command whose output is only of interest if it fails.
func report(c *exec.Cmd) error {
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s (it comes with Debian's packages grub-common, grub-pc-bin, grub-efi-amd64-bin and mtools)", c.Args[0], err, bytes.TrimSpace(out))
	}
	return nil
}
