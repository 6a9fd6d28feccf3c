package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// inputDevices are the files of keyboards and pointers.
const inputDevices = "/dev/input/event*"

// seat gives graphics card and input devices to the user, and describes them as udev would.
func seat() error {
	const db = "/run/udev/data"
	if err := os.MkdirAll(db, 0o755); err != nil {
		return err
	}
	// libudev takes a machine with this file for one that runs udev.
	if err := os.WriteFile("/run/udev/control", nil, 0o600); err != nil {
		return err
	}
	cards, err := filepath.Glob("/sys/class/drm/card[0-9]")
	if err != nil || len(cards) == 0 {
		return errors.New("there is no graphics card (vmm.display = \"virtio\" in the .vmx)")
	}
	for _, c := range cards {
		if err := describe(db, c, "G:seat\nG:master-of-seat\nI:1\n"); err != nil {
			return err
		}
	}
	inputs, err := filepath.Glob("/sys/class/input/event*")
	if err != nil {
		return err
	}
	for _, in := range inputs {
		capability := func(kind string) string {
			b, _ := os.ReadFile(filepath.Join(in, "device/capabilities", kind)) // a device without it has none
			return string(b)
		}
		about := inputProperties(capability("key"), capability("rel"), capability("abs"))
		if err := describe(db, in, about); err != nil {
			return err
		}
		// The device above the node, /sys/.../inputN, is asked too.
		parent, err := filepath.EvalSymlinks(filepath.Join(in, "device"))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(db, "+input:"+filepath.Base(parent)), []byte(about), 0o644); err != nil {
			return err
		}
	}
	return own("/dev/dri/*", inputDevices)
}

// describe writes the entry in udev's data of the character device that class, a folder of /sys/class, stands for.
func describe(db, class, about string) error {
	dev, err := os.ReadFile(filepath.Join(class, "dev"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(db, "c"+strings.TrimSpace(string(dev))), []byte(about), 0o644)
}

// inputProperties says what udev's input_id would say of a device with these capabilities, bit masks as sysfs has them, in words of 64 bits.
func inputProperties(key, rel, abs string) string {
	some := func(mask string) bool { return strings.Trim(mask, "0 \n") != "" }
	about := "E:ID_INPUT=1\n"
	switch {
	case (some(rel) || some(abs)) && some(key):
		about += "E:ID_INPUT_MOUSE=1\n"
	case len(strings.Fields(key)) > 1: // a power button has keys of one word only
		about += "E:ID_INPUT_KEY=1\nE:ID_INPUT_KEYBOARD=1\n"
	}
	return about + "G:seat\nI:1\n"
}

// own gives files to the user.
func own(patterns ...string) error {
	for _, p := range patterns {
		files, err := filepath.Glob(p)
		if err != nil {
			return err
		}
		for _, f := range files {
			if st, err := os.Stat(f); err == nil && st.IsDir() {
				continue
			}
			if err := os.Chown(f, uid, uid); err != nil {
				return fmt.Errorf("giving a device to the user: %w", err)
			}
		}
	}
	return nil
}
