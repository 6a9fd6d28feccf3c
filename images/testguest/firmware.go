package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// firmware prints what started the kernel, and how the memory map of it looks: "firmware KIND", "e820 START-END KIND".
func firmware(string) error {
	kind := "bios"
	if _, err := os.Stat("/sys/firmware/efi"); err == nil {
		kind = "efi"
	}
	say("firmware %s", kind)
	maps, _ := filepath.Glob("/sys/firmware/memmap/*")
	for _, m := range maps {
		var fields []any
		for _, f := range []string{"start", "end", "type"} {
			b, err := os.ReadFile(filepath.Join(m, f))
			if err != nil {
				return err
			}
			fields = append(fields, bytes.TrimSpace(b))
		}
		say("e820 %s-%s %s", fields...)
	}
	bound, err := filepath.Glob("/sys/bus/acpi/drivers/vmgenid/*:*")
	if err != nil || len(bound) == 0 {
		return errors.New("no generation id")
	}
	return nil
}

// The names of EFI variables that tests make end in this, and their values begin with their attributes: kept, for the firmware's boot and the system.
const (
	efiVariables = "/sys/firmware/efi/efivars"
	efiVendor    = "-9b2f3e60-5d0a-4a8e-8a51-7e1f5c0c9a11"
	efiKept      = "\x07\x00\x00\x00"
)

// efiVariable (write:NAME:VALUE, read:NAME:VALUE) works on a variable of the firmware; read checks its value.
func efiVariable(args string) error {
	if err := unix.Mount("efivarfs", efiVariables, "efivarfs", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount efivarfs: %w", err)
	}
	verb, rest, _ := strings.Cut(args, ":")
	name, value, _ := strings.Cut(rest, ":")
	path := filepath.Join(efiVariables, name+efiVendor)
	switch verb {
	case "write":
		return os.WriteFile(path, []byte(efiKept+value), 0o644)
	case "read":
		b, err := os.ReadFile(path)
		if err == nil && string(b) != efiKept+value {
			err = fmt.Errorf("%s holds %q", name, b)
		}
		return err
	}
	return fmt.Errorf("no such verb: %q", verb)
}
