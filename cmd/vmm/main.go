// Command vmm runs VMware and Hyper-V machines as they are, on KVM.
//
// This folder holds flags, output and exit codes; the work is done in the packages below it.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/images/nested/agent"
)

// started is when the process began; boot timelines count from here. The kernel tells that in hundredths of a second only, but the
// processor time that the process has used by now is exact, and it has done nothing but to be loaded and initialised.
var started, initialised = func() (from, to time.Time) {
	to = time.Now()
	var used unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &used) // cannot fail; without it the record begins here
	return to.Add(-time.Duration(used.Nano())), to
}()

// Exit codes. Those of vmm nested are the command's own, or 125 to 127 as with a shell.
const (
	exitFailed = 1 // it did not work; one line on standard error says why
	exitUsage  = 2 // the command line makes no sense
	exitNoKVM  = 3 // this host cannot run the machine directly; --nested can
)

// exitError ends the program with a certain code; a nil err says nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func main() {
	agent.RunIfInit() // in the nested host this program is the first process
	os.Exit(run())
}

func run() int {
	ctx, stop := untilTold()
	defer stop()
	err := rootFor(os.Args[1:]).ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code := exitFailed
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
		if exit.err == nil {
			return code
		}
	}
	fmt.Fprint(os.Stderr, complaint(err))
	return code
}

// complaint is what the user reads of an error: a line for each of several.
func complaint(err error) string {
	return "vmm: " + strings.ReplaceAll(err.Error(), "\n", "\nvmm: ") + "\n"
}
