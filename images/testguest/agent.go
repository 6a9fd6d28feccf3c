package main

import (
	"bytes"
	"os"
	"time"

	"github.com/sharevm/vmm/images/guest/setup"
)

// listen has every restoring of the machine, from now on, set the clock and be told of on the console.
func listen(string) error {
	const limit = 10 * time.Second
	go func() {
		err := setup.OnRestore(limit, func(was, is time.Duration) error {
			if address, err := os.ReadFile("/sys/class/net/eth0/address"); err == nil {
				say("restored: eth0 is %s", bytes.TrimSpace(address))
			}
			say("restored: the clock was %d ms behind, and is %d us", was.Milliseconds(), is.Microseconds())
			return nil
		})
		say("task listen: failed: %v", err)
	}()
	return nil
}
