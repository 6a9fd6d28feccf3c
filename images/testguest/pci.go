package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// showPCI prints every PCI function that the guest has found, as lspci does: "pci ADDRESS CLASS VENDOR:DEVICE driver=NAME irq=N", and below a bridge's
// line the functions behind it.
func showPCI(string) error {
	const folder = "/sys/bus/pci/devices"
	functions, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, f := range functions {
		read := func(name string) string {
			b, _ := os.ReadFile(filepath.Join(folder, f.Name(), name))
			return strings.TrimPrefix(string(bytes.TrimSpace(b)), "0x")
		}
		driver, _ := os.Readlink(filepath.Join(folder, f.Name(), "driver"))
		path, _ := filepath.EvalSymlinks(filepath.Join(folder, f.Name()))
		say("pci %s %s %s:%s driver=%s irq=%s path=%s", f.Name(), read("class"), read("vendor"), read("device"), filepath.Base(driver), read("irq"), strings.TrimPrefix(path, "/sys/devices/"))
	}
	return nil
}

// dumpACPI prints the ACPI tables: "acpi NAME BASE64".
func dumpACPI(string) error {
	tables, err := filepath.Glob("/sys/firmware/acpi/tables/*")
	if err != nil || len(tables) == 0 {
		return fmt.Errorf("no ACPI tables: %v", err)
	}
	for _, t := range tables {
		if info, err := os.Stat(t); err != nil || info.IsDir() {
			continue
		}
		b, err := os.ReadFile(t)
		if err != nil {
			return err
		}
		say("acpi %s %s", filepath.Base(t), base64.StdEncoding.EncodeToString(b))
	}
	return nil
}
