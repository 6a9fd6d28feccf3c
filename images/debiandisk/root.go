package debiandisk

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const suite = "bookworm"

// packages are what there is beside Debian's essential packages and apt.
var packages = []string{
	"linux-image-amd64", "systemd-sysv", "udev", "zstd", "iproute2",
	// What the command exercise works disks and cards with.
	"e2fsprogs", "sg3-utils", "nvme-cli", "iperf3", "ethtool",
}

// excluded is what no test looks at: texts, and half of the drivers.
var excluded = []string{
	"/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*",
	"/lib/modules/*/kernel/sound/*", "/lib/modules/*/kernel/drivers/media/*", "/lib/modules/*/kernel/drivers/net/wireless/*",
	"/lib/modules/*/kernel/drivers/gpu/drm/amd/*", "/lib/modules/*/kernel/drivers/gpu/drm/i915/*",
	"/lib/modules/*/kernel/drivers/gpu/drm/nouveau/*", "/lib/modules/*/kernel/drivers/gpu/drm/radeon/*", "/lib/modules/*/kernel/drivers/infiniband/*",
}

var (
	//go:embed machine.sh
	machine string
	//go:embed check.sh
	check string
	//go:embed exercise.sh
	exercise string
)

// file is one that is added to Debian's.
type file struct {
	name string
	mode os.FileMode
	text string
}

var files = []file{
	{"etc/hostname", 0o644, "debian\n"},
	{"etc/hosts", 0o644, "127.0.0.1 localhost debian\n"},
	{"etc/fstab", 0o644, "PARTLABEL=root / ext4 errors=remount-ro 0 1\nPARTLABEL=esp /boot/efi vfat umask=0077 0 0\n"},
	// Each card gets an address, and no route: their networks are all alike.
	{"etc/systemd/network/cards.network", 0o644, "[Match]\nType=ether\n\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n\n[DHCPv4]\nUseRoutes=no\nUseDNS=no\n"},
	{"usr/local/lib/machine.sh", 0o644, machine},
	{"usr/local/bin/check", 0o755, check},
	{"usr/local/bin/exercise", 0o755, exercise},
	// What a script that types on the console waits for.
	{"root/.bash_profile", 0o644, "echo\necho \"shell: ready on $(tty)\"\n"},
	{"boot/grub/grub.cfg", 0o644, `serial --unit=0 --speed=115200
terminal_output serial console
set timeout=0
menuentry Debian {
	echo "grub: on $grub_platform"
	linux /vmlinuz root=PARTLABEL=root ro console=tty0 console=ttyS0,115200 quiet
	initrd /initrd.img
}
`},
}

// commands are carried out in the unpacked system.
var commands = [][]string{
	{"passwd", "--quiet", "--delete", "root"},
	{"systemctl", "--quiet", "enable", "systemd-networkd"},
	// Nothing waits for the network, and nobody wants to be told of updates.
	{"systemctl", "--quiet", "mask", "systemd-networkd-wait-online.service", "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_reap.service"},
}

// unpack makes the system's files in the folder root.
func unpack(ctx context.Context, root string) error {
	args := []string{"--mode=root", "--variant=minbase", "--include=" + strings.Join(packages, ","), `--aptopt=APT::Install-Recommends "false"`}
	for _, e := range excluded {
		args = append(args, "--dpkgopt=path-exclude="+e)
	}
	if err := run(ctx, "mmdebstrap", append(args, suite, root)...); err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(root, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(f.text), f.mode); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "boot/efi"), 0o755); err != nil {
		return err
	}
	for _, c := range commands {
		if err := run(ctx, "chroot", append([]string{root}, c...)...); err != nil {
			return err
		}
	}
	for _, name := range []string{"vmlinuz", "initrd.img"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			return fmt.Errorf("unpacking the kernel: %w", err)
		}
	}
	return nil
}
