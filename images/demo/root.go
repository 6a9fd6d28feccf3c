package main

import (
	"context"
	"fmt"
	"os/exec"
	"path"
	"slices"
	"strings"

	"github.com/sharevm/vmm/images/initramfs"
	"github.com/sharevm/vmm/images/rootfs"
)

const motd = `Welcome to the demo machine of vmm: Debian's kernel and BusyBox on a VMDK disk.

  poweroff          switch it off, as does Ctrl-C (the power button)
  Ctrl-] then t     where the boot time went
  Ctrl-] then ?     the other keys; Ctrl-] c sends Ctrl-C to a program

`

const profile = `export PS1='\u@\h:\w\$ '
export PAGER=less EDITOR=vi
alias ll='ls -l'
`

// root is the root disk of a machine of that name, which says motd to who logs in, but for the names under which BusyBox is called; see withApplets.
func root(busybox, init, name, motd string) rootfs.Config {
	text := func(name, s string) initramfs.File { return initramfs.File{Name: name, Data: []byte(s)} }
	return rootfs.Config{
		Size:  rootSize,
		Label: "vmm-root",
		Files: []initramfs.File{
			{Name: busyboxName, Mode: 0o755, Path: busybox},
			{Name: "sbin/init", Mode: 0o755, Path: init},
			{Name: "bin/selfcheck", Link: "../sbin/init"},
			text("etc/hostname", name+"\n"),
			text("etc/hosts", "127.0.0.1 localhost "+name+"\n"),
			text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
			text("etc/group", "root:x:0:\n"),
			text("etc/shells", "/bin/sh\n"),
			text("etc/motd", motd),
			text("etc/profile", profile),
			// What df and mount without arguments look at.
			{Name: "etc/mtab", Link: "../proc/self/mounts"},
		},
		Dirs: []string{"dev", "proc", "sys", "run", "tmp", "root", "data", "mnt", "usr/bin", "usr/sbin"},
	}
}

// busyboxName is BusyBox on the root disk.
const busyboxName = "bin/busybox"

// notApplets are names that BusyBox knows and that this machine gives to nobody, or to something else.
var notApplets = []string{"busybox", "init", "linuxrc", "dpkg", "dpkg-deb", "rpm", "rpm2cpio"}

// withApplets adds a link for each command that the BusyBox among files says it has.
func withApplets(ctx context.Context, files []initramfs.File) ([]initramfs.File, error) {
	i := slices.IndexFunc(files, func(f initramfs.File) bool { return f.Name == busyboxName })
	out, err := exec.CommandContext(ctx, files[i].Path, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("asking %s for its commands: %w", files[i].Path, err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		if !slices.Contains(notApplets, name) {
			files = append(files, initramfs.File{Name: path.Join("bin", name), Link: "busybox"})
		}
	}
	return files, nil
}
