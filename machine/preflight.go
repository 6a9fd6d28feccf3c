package machine

import (
	"fmt"
	"log/slog"

	"github.com/sharevm/vmm/boot"
	"github.com/sharevm/vmm/boot/payload"
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/tpm/swtpm"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/vmm/memory"
)

// Preflight looks for what would keep a machine from starting that has nothing to do with KVM: its configuration, its files, this
// host's memory. folder is Options.FirmwareFolder. It needs no KVM and changes nothing. A machine that passes may still fail to start.
func Preflight(cfg *config.Machine, folder string) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if err := memory.CheckHost(uint64(cfg.Memory)); err != nil {
		return err
	}
	for i := range cfg.Disks {
		d := &cfg.Disks[i]
		if d.Path == "" || !d.Connected {
			continue
		}
		img, err := formats.Open(d.Path, disk.OpenOptions{ReadOnly: true, Format: string(d.Format), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return fmt.Errorf("disk %s: %w", d.Address, err)
		}
		if err := img.Close(); err != nil {
			return fmt.Errorf("disk %s: %w", d.Address, err)
		}
	}
	if cfg.TPM.Present {
		if _, err := swtpm.Find(); err != nil {
			return err
		}
	}
	if byFirmware(cfg) {
		_, err := findFirmware(cfg, folder)
		return err
	}
	return checkKernel(cfg)
}

// checkKernel opens kernel and initrd and looks at the kernel's signature.
func checkKernel(cfg *config.Machine) error {
	kernel, err := openRegular(cfg.Boot.Kernel)
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	defer kernel.Close()
	f, err := payload.FromOS(kernel)
	if err != nil {
		return err
	}
	if err := boot.Recognise(f); err != nil {
		return err
	}
	if cfg.Boot.Initrd == "" {
		return nil
	}
	initrd, err := openRegular(cfg.Boot.Initrd)
	if err != nil {
		return fmt.Errorf("initrd: %w", err)
	}
	return initrd.Close()
}
