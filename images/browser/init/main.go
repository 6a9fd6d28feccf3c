// Command init is the first process of the browser machine's guest, as /init of its initramfs, and on the root disk the program that keeps the
// browser running, below the compositor. What both are to do is said by the kernel's command line (config.Kiosk).
//
// Lines for whoever watches the console start with "browser: ".
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if os.Getpid() != 1 {
		if filepath.Base(os.Args[0]) != "session" {
			fmt.Fprintln(os.Stderr, "init: I am meant to be the first process")
			os.Exit(1)
		}
		keepBrowser()
	}
	say("%v", boot())
	powerOff()
}

// linePrefix is how lines for whoever watches the console start.
const linePrefix = "browser: "

// say prints a line for whoever watches the console, with the seconds since the kernel started.
func say(format string, args ...any) {
	fmt.Printf(linePrefix+"%s s: "+format+"\n", append([]any{uptime()}, args...)...)
}
