// Package windowstest makes disks that hold as much of a Windows as this project looks at, by other people's tools: hivexsh writes the registry, and
// wimlib-imagex the files.
package windowstest

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk/disktest"
)

// EmptyHive is a hive of a root key without anything, for hivexsh to fill.
func EmptyHive() []byte {
	b := make([]byte, 8192)
	le := binary.LittleEndian
	copy(b, "regf")
	le.PutUint32(b[4:], 1)
	le.PutUint32(b[8:], 1)
	le.PutUint32(b[0x14:], 1)
	le.PutUint32(b[0x18:], 3)
	le.PutUint32(b[0x20:], 1)
	le.PutUint32(b[0x24:], 0x20)
	le.PutUint32(b[0x28:], 4096)
	le.PutUint32(b[0x2c:], 1)
	sum := uint32(0)
	for i := 0; i < 508; i += 4 {
		sum ^= le.Uint32(b[i:])
	}
	le.PutUint32(b[508:], sum)
	bin := b[4096:]
	copy(bin, "hbin")
	le.PutUint32(bin[8:], 4096)
	const keyAt, keySize, secAt, secSize = 0x20, 0x58, 0x78, 0x30
	k := bin[keyAt:]
	le.PutUint32(k, -keySize&0xffffffff)
	copy(k[4:], "nk")
	le.PutUint16(k[6:], 0x2c)
	for _, at := range []int{0x1c, 0x20, 0x28, 0x30} {
		le.PutUint32(k[4+at:], 0xffffffff)
	}
	le.PutUint32(k[4+0x2c:], secAt)
	le.PutUint16(k[4+0x48:], 4)
	copy(k[4+0x4c:], "ROOT")
	s := bin[secAt:]
	le.PutUint32(s, -secSize&0xffffffff)
	copy(s[4:], "sk")
	le.PutUint32(s[8:], secAt)
	le.PutUint32(s[12:], secAt)
	le.PutUint32(s[16:], 1)
	le.PutUint32(s[20:], 20)
	s[24], s[27] = 1, 0x80
	le.PutUint32(bin[secAt+secSize:], 4096-secAt-secSize)
	return b
}

// SystemHive has hivexsh write a SYSTEM hive with services and their values, by "NAME" and "NAME/StartOverride".
func SystemHive(t testing.TB, path string, services map[string]map[string]uint32) {
	t.Helper()
	if err := os.WriteFile(path, EmptyHive(), 0o600); err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	set := func(values map[string]uint32) {
		fmt.Fprintf(&script, "setval %d\n", len(values))
		for name, v := range values {
			fmt.Fprintf(&script, "%s\ndword:%#08x\n", name, v)
		}
	}
	script.WriteString("add Select\ncd Select\n")
	set(map[string]uint32{"Current": 2, "Default": 1})
	script.WriteString("cd \\\nadd ControlSet002\ncd ControlSet002\nadd Services\n")
	for i := range 40 { // among others
		fmt.Fprintf(&script, "cd \\ControlSet002\\Services\nadd other%02d\n", i)
	}
	var names []string
	for name := range services {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		parent, child, nested := strings.Cut(name, "/")
		if nested {
			fmt.Fprintf(&script, "cd \\ControlSet002\\Services\\%s\nadd %s\ncd %s\n", parent, child, child)
		} else {
			fmt.Fprintf(&script, "cd \\ControlSet002\\Services\nadd %s\ncd %s\n", name, name)
		}
		set(services[name])
	}
	script.WriteString("commit\nquit\n")
	commands := path + ".hivex"
	if err := os.WriteFile(commands, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	disktest.FindTool(t, "hivexsh", "libhivex-bin").Run("-w", "-f", commands, path)
	if err := os.Remove(commands); err != nil {
		t.Fatal(err)
	}
}

// Disk makes a disk whose only volume holds the files of folder.
func Disk(t testing.TB, folder string) []byte {
	t.Helper()
	dir := t.TempDir()
	image, wim := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "files.wim")
	if err := os.WriteFile(image, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	disktest.FindTool(t, "mkntfs", "ntfs-3g").Run("-q", "-F", "-s", "512", "-p", "0", "-H", "0", "-S", "0", image)
	imagex := disktest.FindTool(t, "wimlib-imagex", "wimtools")
	imagex.Run("capture", folder, wim, "--compress=none")
	imagex.Run("apply", wim, "1", image)
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Windows makes a disk of a Windows with services, as SystemHive takes them.
func Windows(t testing.TB, services map[string]map[string]uint32) []byte {
	t.Helper()
	folder := t.TempDir()
	config := filepath.Join(folder, "Windows", "System32", "config")
	if err := os.MkdirAll(config, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 300 { // enough for an index of several blocks
		if err := os.WriteFile(filepath.Join(folder, "Windows", "System32", fmt.Sprintf("some library %03d.dll", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	SystemHive(t, filepath.Join(config, "SYSTEM"), services)
	return Disk(t, folder)
}
