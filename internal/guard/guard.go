// Package guard is where the panics of goroutines end that serve a device and that nobody waits for: timers, readers and writers. A bug in
// one costs the machine what the goroutine did, not its life. (Workers of virtio devices have virtio.Workers, and accesses of vCPUs their
// run loop, which end panics with more to say to the guest.)
package guard

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Panic ends the panic that the goroutine is in, if it is in one, and logs it under the name of what panicked. It has to be deferred itself,
// and first, so that locks have been given back when it runs. A nil log is silent.
func Panic(log *slog.Logger, name string) {
	if p := recover(); p != nil && log != nil {
		log.Error("device goroutine panicked", "goroutine", name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}
