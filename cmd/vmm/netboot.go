package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sharevm/vmm/config"
)

// overrideNetBoot has the machine boot from its first card in a user network.
func (fl *runFlags) overrideNetBoot(cfg *config.Machine) error {
	if fl.tftp == "" && fl.bootFile == "" {
		return nil
	}
	for i := range cfg.NICs {
		n := &cfg.NICs[i]
		if n.Connection != config.ConnUser && n.Connection != config.ConnHostOnly {
			continue
		}
		if fl.tftp != "" {
			folder, err := filepath.Abs(fl.tftp)
			if err != nil {
				return fmt.Errorf("--tftp: %w", err)
			}
			n.Boot.Folder = folder
		}
		if fl.bootFile != "" {
			if n.Boot.Folder == "" && !strings.Contains(fl.bootFile, "://") {
				return fmt.Errorf("--boot-file %q: a file by TFTP needs its folder (--tftp), and a URL a scheme", fl.bootFile)
			}
			n.Boot.File, n.Boot.Script = fl.bootFile, ""
			cfg.Firmware.BootOrder = append([]string{fmt.Sprintf("ethernet%d", n.Index)}, cfg.Firmware.BootOrder...)
		}
		return nil
	}
	return errors.New("--tftp and --boot-file need a card in the user network (ethernet0.connectionType = \"nat\", or --net user)")
}
