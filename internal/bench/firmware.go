package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/internal/bench/report"
	"github.com/sharevm/vmm/internal/filecopy"
)

// atGRUB is what GRUB says on the serial port before it loads the kernel.
const atGRUB = "grub: on"

// firmwarePeers boot a disk by firmware, each with its own: Debian's SeaBIOS and OVMF are the same files for both. They have the same devices: a disk, a
// network card without a boot ROM, a serial port, and no screen.
var firmwarePeers = []struct {
	name    string
	command func(f *files, kind string, fresh bool) ([]string, error)
}{
	{report.Ours, vmmFirmware},
	{"QEMU q35", q35Firmware},
}

func vmmFirmware(f *files, kind string, fresh bool) ([]string, error) {
	var b strings.Builder
	for _, kv := range [][2]string{
		{".encoding", "UTF-8"}, {"config.version", "8"}, {"virtualHW.version", "19"}, {"guestOS", "debian12-64"},
		{"displayName", "bench"}, {"memsize", strconv.Itoa(ramMiB)}, {"firmware", kind}, {"vmm.console", "serial0"}, {"vmm.display", "none"},
		{"scsi0.present", "TRUE"}, {"scsi0.virtualDev", "virtio"}, {"scsi0:0.present", "TRUE"}, {"scsi0:0.fileName", f.bootDisk},
		{"ethernet0.present", "TRUE"}, {"ethernet0.connectionType", "nat"}, {"vmm.ethernet0.virtualDev", "virtio"},
	} {
		fmt.Fprintf(&b, "%s = %q\n", kv[0], kv[1])
	}
	vmx := filepath.Join(f.dir, "firmware.vmx")
	if fresh {
		if err := os.RemoveAll(filepath.Join(f.dir, "firmware.efivars")); err != nil {
			return nil, err
		}
	}
	return []string{f.vmm, "run", "--allow-outside", vmx}, os.WriteFile(vmx, []byte(b.String()), 0o644)
}

// ovmf is what Debian's package installs: the code, and an empty store of variables.
var ovmf = struct{ code, variables string }{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"}

func q35Firmware(f *files, kind string, fresh bool) ([]string, error) {
	args := []string{
		f.qemu, "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", strconv.Itoa(ramMiB), "-smp", "1",
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
		"-drive", "id=disk,if=none,format=raw,file=" + f.bootDisk, "-device", "virtio-blk-pci,drive=disk,bootindex=0",
		"-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=",
	}
	if kind != "efi" {
		return args, nil
	}
	store := filepath.Join(f.dir, "variables.fd")
	if fresh {
		if err := filecopy.Copy(ovmf.variables, store); err != nil {
			return nil, err
		}
	}
	return append(args, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+ovmf.code, "-drive", "if=pflash,unit=1,format=raw,file="+store), nil
}

// firmwareStarts are what is measured. A machine's first start by OVMF finds an empty store of variables, and fills it.
var firmwareStarts = []struct {
	name, kind string
	fresh      bool // the store is made anew before
}{
	{"grub-bios", "bios", false},
	{"grub-efi-first", "efi", true},
	{"grub-efi", "efi", false},
}

// firmwareRounds lets the monitors take turns at starting a disk, up to its boot loader.
func firmwareRounds(ctx context.Context, o options, f *files, r *report.Report) error {
	for round := range o.rounds {
		for _, s := range firmwareStarts {
			for _, p := range firmwarePeers {
				args, err := p.command(f, s.kind, s.fresh)
				if err != nil {
					return err
				}
				if o.verbose && round == 0 {
					fmt.Fprintf(os.Stderr, "%s, %s:\n  %s\n", p.name, s.name, quoted(args))
				}
				b, err := boot(ctx, args, atGRUB, false, false)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if o.verbose {
					fmt.Fprintf(os.Stderr, "round %d: %s %s: %v; %v\n", round+1, p.name, s.name, b.toMark.Round(time.Millisecond), err)
				}
				if err != nil {
					r.Note("round %d: %s %s: %v", round+1, p.name, s.name, err)
					continue
				}
				r.Of(s.name, "ms", p.name).Add(float64(b.toMark.Microseconds()) / 1000)
			}
		}
	}
	return nil
}
