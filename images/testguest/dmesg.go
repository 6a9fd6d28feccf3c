package main

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// showLog (WORDS) prints the lines of the kernel's log that hold WORDS, each as "dmesg LINE".
func showLog(words string) error {
	buf := make([]byte, 1<<20)
	n, err := unix.Klogctl(3, buf) // SYSLOG_ACTION_READ_ALL
	if err != nil {
		return fmt.Errorf("read the kernel's log: %w", err)
	}
	for line := range strings.Lines(string(buf[:n])) {
		if strings.Contains(line, words) {
			say("dmesg %s", strings.TrimSpace(line))
		}
	}
	return nil
}
