// Command testguest is the first process of the guests that tests run: it carries out the tasks that the kernel command line names, says
// on the console how each went, and powers the machine off.
//
//	vmm.tasks=info,disk:/dev/vda:16:7,net:http://10.0.2.2:8000/page
//
// Tasks run in order, separated by commas; a task's arguments stand behind colons (a URL may hold colons: it is the last argument).
// Each ends with a line "task NAME: ok" or "task NAME: failed: WHY", and the last line is "tasks: all ok" or "tasks: failed".
// Whoever starts the guest reads these lines, so they are its interface.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/sharevm/vmm/images/guest/setup"
	"golang.org/x/sys/unix"
)

// task carries out one task; what it finds out goes to the console.
type task func(args string) error

var tasks = map[string]task{
	"acpi":       dumpACPI,
	"answer":     answer,
	"button":     waitForButton,
	"carrier":    carrier,
	"cdrom":      readDisc,
	"clipboard":  clipboard,
	"console":    echoConsole,
	"cpus":       exerciseCPUs,
	"disk":       verifyDisk,
	"dmesg":      showLog,
	"drain":      drain,
	"draw":       draw,
	"efi":        efiVariable,
	"events":     showEvents,
	"files":      verifyFiles,
	"fill":       fillDisk,
	"flood":      flood,
	"firmware":   firmware,
	"flap":       flap,
	"hash":       hashDisk,
	"hear":       hear,
	"hibernate":  hibernate,
	"hostile":    hostile,
	"info":       info,
	"journal":    journal,
	"kernel":     kernelSaid,
	"klog":       kernelLog,
	"kmsg":       kernelWarnings,
	"listen":     listen,
	"load":       load,
	"mark":       mark,
	"measured":   checkMeasured,
	"memory":     useMemory,
	"modes":      modes,
	"mtu":        mtu,
	"net":        fetch,
	"nic":        nicInfo,
	"nodisc":     emptyDrive,
	"nvme":       nvme,
	"nvme-reset": nvmeReset,
	"pci":        showPCI,
	"push":       push,
	"rate":       rate,
	"reboot":     reboot,
	"rescan":     rescan,
	"paint":      paint,
	"rng":        readRandom,
	"screen":     drawScreen,
	"serve":      serve,
	"sg-reset":   resetDisk,
	"snap":       snap,
	"sort":       sortDisks,
	"sound":      playSound,
	"suspend":    suspend,
	"tpm":        useTPM,
	"try":        try,
}

func main() {
	if err := prepare(); err != nil {
		say("task prepare: failed: %v", err)
	}
	ok := true
	for _, t := range strings.Split(parameter("vmm.tasks"), ",") {
		if t == "" {
			continue
		}
		name, args, _ := strings.Cut(t, ":")
		run := tasks[name]
		if run == nil {
			run = func(string) error { return fmt.Errorf("there is no such task") }
		}
		if err := run(args); err != nil {
			say("task %s: failed: %v", name, err)
			ok = false
			break
		}
		say("task %s: ok", name)
	}
	if ok {
		say("tasks: all ok")
	} else {
		say("tasks: failed")
	}
	if err := setup.PowerOff(); err != nil {
		say("power off: %v", err)
	}
	select {} // init must not end
}

// rootParameter names the disk whose file system becomes the root; without it tasks run in the initramfs.
const rootParameter = "vmm.root"

func prepare() error {
	if err := setup.KernelFS("/"); err != nil {
		return err
	}
	root := parameter(rootParameter)
	if root == "" {
		return setup.LoadModules("/modules")
	}
	if _, err := os.Stat("/modules"); err != nil {
		return nil // this is the root disk already
	}
	if err := setup.LoadModules("/modules"); err != nil {
		return err
	}
	return enterRoot(root)
}

// enterRoot mounts a disk in place of the initramfs and becomes its init.
func enterRoot(disk string) error {
	const target = "/newroot"
	disk, err := awaitDisk(disk)
	if err != nil {
		return err
	}
	if err := (setup.Mount{Source: disk, Target: target, Type: "ext4"}).Do(); err != nil {
		return err
	}
	if err := setup.SwitchRoot(target); err != nil {
		return err
	}
	return unix.Exec("/init", []string{"/init"}, os.Environ())
}

// say prints a line on the console, in one write.
func say(format string, args ...any) {
	_, _ = os.Stdout.WriteString(fmt.Sprintf(format, args...) + "\n")
}

// parameter returns the value of a word NAME=VALUE of the kernel command line.
func parameter(name string) string {
	b, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return ""
	}
	for _, w := range strings.Fields(string(b)) {
		if v, ok := strings.CutPrefix(w, name+"="); ok {
			return v
		}
	}
	return ""
}
