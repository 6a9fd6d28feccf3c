package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// untilTold returns a context that ends when the program is told to: disks are closed properly then. A second signal changes nothing,
// since one often follows the first at once (a terminal that goes away, a session that systemd ends).
func untilTold() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), wanted(syscall.SIGTERM, syscall.SIGHUP)...)
}

// wanted leaves out the signals that whoever started the program has it ignore, as nohup does: asking for them would undo that. It
// always leaves the first, since signal.Notify takes none for all.
func wanted(signals ...os.Signal) []os.Signal {
	return slices.Concat(signals[:1], slices.DeleteFunc(slices.Clone(signals[1:]), signal.Ignored))
}

// outliveReaders keeps the machine running when whoever reads its console goes away (vmm run ... | head): the Go runtime would end
// the program at the next write to standard output, in the middle of a guest's work on its disks.
func outliveReaders() { signal.Ignore(syscall.SIGPIPE) }
