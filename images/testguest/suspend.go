package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// suspend (SECONDS) suspends to RAM, and has the clock's alarm wake the machine that much later; with 0 somebody else has to.
func suspend(seconds string) error {
	const alarm = "/sys/class/rtc/rtc0/wakealarm"
	if states, err := os.ReadFile("/sys/power/mem_sleep"); err != nil || !strings.Contains(string(states), "deep") {
		return fmt.Errorf("there is no suspend to RAM, only %q: %v", states, err)
	}
	if seconds != "0" {
		if err := os.WriteFile(alarm, []byte("0"), 0); err != nil {
			return err
		}
		if err := os.WriteFile(alarm, []byte("+"+seconds), 0); err != nil {
			return err
		}
	}
	say("suspending")
	logged, err := logTime()
	if err != nil {
		return err
	}
	before := time.Now()
	if err := os.WriteFile("/sys/power/state", []byte("mem"), 0); err != nil {
		return err
	}
	// A clock that went back to before the log's beginning counts down from 2^64.
	if now, err := logTime(); err != nil || now < logged || now > logged+10*time.Minute {
		return fmt.Errorf("the kernel's log was at %v, and is at %v after the sleep: %v", logged, now, err)
	}
	say("awake after %d s", int(time.Since(before).Round(0).Seconds()))
	return nil
}
