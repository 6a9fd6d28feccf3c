package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// ataPlace is the part of a device's path in sysfs that says at which port it is, and which of the port's two drives.
var ataPlace = regexp.MustCompile(`/ata(\d+)/.*/\d+:\d+:(\d+):\d+/`)

// sortDisks makes links /dev/port0 and so on to the disks at ATA ports, in the order of the ports: Linux names disks in the order in which it happens to
// have looked at them.
func sortDisks(string) error {
	names, err := filepath.Glob("/sys/block/sd*")
	if err != nil {
		return err
	}
	type place struct {
		port, drive int
		name        string
	}
	var disks []place
	for _, name := range names {
		path, err := filepath.EvalSymlinks(name)
		if err != nil {
			return err
		}
		m := ataPlace.FindStringSubmatch(path)
		if m == nil {
			return fmt.Errorf("%s is not at an ATA port", path)
		}
		port, _ := strconv.Atoi(m[1])
		drive, _ := strconv.Atoi(m[2])
		disks = append(disks, place{port, drive, filepath.Base(name)})
	}
	slices.SortFunc(disks, func(a, b place) int { return (a.port-b.port)*2 + a.drive - b.drive })
	for i, d := range disks {
		if err := os.Symlink("/dev/"+d.name, fmt.Sprintf("/dev/port%d", i)); err != nil {
			return err
		}
	}
	return nil
}
