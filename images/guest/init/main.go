// Command init is the first process of the guest that package guest builds, both in its initramfs (as /init) and on its root disk (as
// /sbin/init). See package guest for what the kernel's command line tells it.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sharevm/vmm/images/guest/setup"
	"golang.org/x/sys/unix"
)

func main() {
	if filepath.Base(os.Args[0]) == "selfcheck" {
		if err := selfcheck(os.Args[1:]); err != nil {
			fmt.Println("self-check: failed:", err)
			os.Exit(1)
		}
		fmt.Println("self-check: passed")
		return
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: I am meant to be the first process")
		os.Exit(1)
	}
	if err := run(); err != nil {
		say("%v", err)
	}
	if err := powerOff(); err != nil {
		say("%v", err)
	}
}

// say prints a line for whoever watches the console.
func say(format string, args ...any) { fmt.Printf("vmm-guest: "+format+"\n", args...) }

func run() error {
	if err := setup.KernelFS("/"); err != nil {
		return err
	}
	if os.Args[0] == "/sbin/init" {
		return disk(os.Args[1:])
	}
	mark(setup.MarkInit)
	say("init after %s s", uptime())
	if err := setup.LoadModules("/modules"); err != nil {
		return err
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	if o := parse(string(cmdline)); o.root != "" {
		return enter(o, os.Args[1:])
	}
	if err := setup.Up("lo"); err != nil {
		return err
	}
	return command(os.Args[1:])
}

// uptime is the seconds since the kernel started, as the kernel writes them.
func uptime() string {
	b, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return "?"
	}
	s, _, _ := strings.Cut(string(b), " ")
	return s
}

// options are what the kernel's command line says about the root disk.
type options struct {
	root     string
	fsType   string
	readOnly bool
}

func parse(cmdline string) options {
	o := options{fsType: "ext4"}
	for f := range strings.FieldsSeq(cmdline) {
		k, v, _ := strings.Cut(f, "=")
		switch k {
		case "--":
			return o
		case "root":
			o.root = v
		case "rootfstype":
			o.fsType = v
		case "ro":
			o.readOnly = true
		case "rw":
			o.readOnly = false
		}
	}
	return o
}

// rootWait is how long a root disk may take to appear.
const rootWait = 30 * time.Second

// enter mounts the root disk and becomes its /sbin/init.
func enter(o options, args []string) error {
	if err := setup.WaitFor(o.root, rootWait); err != nil {
		return err
	}
	const root = "/newroot"
	m := setup.Mount{Source: o.root, Target: root, Type: o.fsType}
	if o.readOnly {
		m.Flags = unix.MS_RDONLY
	}
	if err := m.Do(); err != nil {
		return err
	}
	for _, dir := range []string{"/dev", "/proc", "/sys"} {
		if err := unix.Mount(dir, root+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("moving %s to the root disk: %w", dir, err)
		}
	}
	if err := setup.SwitchRoot(root); err != nil {
		return err
	}
	err := unix.Exec("/sbin/init", append([]string{"/sbin/init"}, args...), os.Environ())
	return fmt.Errorf("starting /sbin/init of %s: %w", o.root, err)
}
