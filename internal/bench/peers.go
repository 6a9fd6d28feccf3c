package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sharevm/vmm/internal/bench/report"
)

// ramMiB is every guest's RAM. It lies below the PCI hole, so it is one mapping in every monitor.
const ramMiB = 512

// cmdline is every guest's kernel command line.
const cmdline = "console=ttyS0 quiet panic=1"

// files are what the guests boot from, in the memory of the nested host.
type files struct {
	dir     string
	vmm     string // the commands
	gokvm   string
	qemu    string
	kernels map[string]string // by the format's name
	initrd  string            // "" for none

	bootDisk string // which firmware boots, up to GRUB

	// screenKernel and screenInitrd are the guest's that paints and answers keys, with a disk that it leaves alone.
	screenKernel, screenInitrd, screenDisk string

	modules string // folder of the nested host's kernel modules that it does not load by itself
}

// formats are the kernel files, in the order of the report.
var formats = []string{"vmlinux", "bzImage"}

// peer is a monitor that boots the guest.
type peer struct {
	name string
	// command returns how to start it with the given kernel and a raw disk of its own.
	command func(f *files, kernel, disk string) ([]string, error)
}

var peers = []peer{
	{report.Ours, vmmCommand(true)},
	{"QEMU microvm", microvmCommand},
	{"QEMU pc", pcCommand},
	{"gokvm", gokvmCommand},
	{noNIC, vmmCommand(false)},
}

// noNIC is our own machine without a network card, which shows what the user-mode network costs.
const noNIC = "vmm without a NIC"

func vmmCommand(nic bool) func(*files, string, string) ([]string, error) {
	return func(f *files, kernel, disk string) ([]string, error) {
		keys := [][2]string{
			{".encoding", "UTF-8"}, {"config.version", "8"}, {"virtualHW.version", "19"}, {"guestOS", "debian12-64"},
			{"displayName", "bench"}, {"memsize", strconv.Itoa(ramMiB)},
			{"vmm.kernel", kernel}, {"vmm.cmdline", cmdline},
			{"scsi0.present", "TRUE"}, {"scsi0:0.present", "TRUE"}, {"scsi0:0.fileName", disk},
		}
		if f.initrd != "" {
			keys = append(keys, [2]string{"vmm.initrd", f.initrd})
		}
		if nic {
			keys = append(keys, [2]string{"ethernet0.present", "TRUE"}, [2]string{"ethernet0.connectionType", "nat"})
		}
		var b strings.Builder
		for _, kv := range keys {
			fmt.Fprintf(&b, "%s = %q\n", kv[0], kv[1])
		}
		vmx := filepath.Join(f.dir, "bench.vmx")
		return []string{f.vmm, "run", "--allow-outside", vmx}, os.WriteFile(vmx, []byte(b.String()), 0o644)
	}
}

// qemuCommon is what both of QEMU's machines are told; bus is the end of the devices' names.
func qemuCommon(f *files, machine, bus, kernel, disk string) []string {
	args := []string{
		f.qemu, "-machine", machine, "-accel", "kvm", "-cpu", "host", "-m", strconv.Itoa(ramMiB), "-smp", "1",
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
		"-kernel", kernel, "-append", cmdline,
		"-drive", "id=disk,if=none,format=raw,file=" + disk, "-device", "virtio-blk-" + bus + ",drive=disk",
		"-netdev", "user,id=net", "-device", "virtio-net-" + bus + ",netdev=net",
		"-device", "virtio-rng-" + bus,
		"-device", "virtio-serial-" + bus, "-chardev", "null,id=hvc", "-device", "virtconsole,chardev=hvc",
	}
	if f.initrd != "" {
		args = append(args, "-initrd", f.initrd)
	}
	return args
}

func microvmCommand(f *files, kernel, disk string) ([]string, error) {
	return qemuCommon(f, "microvm,rtc=on", "device", kernel, disk), nil
}

// pcCommand leaves out the network card's boot ROM, which a direct boot has no use for.
func pcCommand(f *files, kernel, disk string) ([]string, error) {
	args := qemuCommon(f, "pc", "pci", kernel, disk)
	for i, a := range args {
		if strings.HasPrefix(a, "virtio-net-pci") {
			args[i] += ",romfile="
		}
	}
	return args, nil
}

// gokvmCommand leaves out what it does not have, entropy source and virtio console, and the network card: that needs a TAP device,
// and gokvm's request for one fails with EINVAL wherever its stack moves between making the request and sending it.
func gokvmCommand(f *files, kernel, disk string) ([]string, error) {
	return []string{
		f.gokvm, "boot", "-k", kernel, "-i", f.initrd, "-m", fmt.Sprintf("%dM", ramMiB), "-c", "1",
		"-p", cmdline, "-d", disk,
	}, nil
}
