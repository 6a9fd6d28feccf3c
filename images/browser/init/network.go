package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/sharevm/vmm/images/guest/lease"
)

// network asks for an address, and says whether there is one. A machine without a network shows its page all the same: it may be a local one.
func network() bool {
	if _, err := os.Stat("/sys/class/net/eth0"); errors.Is(err, fs.ErrNotExist) {
		say("no network card")
		return false
	}
	l, err := lease.Get("eth0")
	if err != nil {
		say("no address for eth0: %v", err)
		return false
	}
	say("%v", l)
	return true
}
