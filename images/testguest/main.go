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
)

// task carries out one task; what it finds out goes to the console.
type task func(args string) error

var tasks = map[string]task{
	"button":  waitForButton,
	"console": echoConsole,
	"cpus":    exerciseCPUs,
	"disk":    verifyDisk,
	"fill":    fillDisk,
	"hash":    hashDisk,
	"info":    info,
	"journal": journal,
	"mark":    mark,
	"net":     fetch,
	"reboot":  reboot,
	"rng":     readRandom,
	"serve":   serve,
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

func prepare() error {
	if err := setup.KernelFS("/"); err != nil {
		return err
	}
	return setup.LoadModules("/modules")
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
