package nested

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sharevm/vmm/images/nested/wire"
)

// ErrInfrastructure is what Run wraps when not the command but the machine around it failed.
var ErrInfrastructure = errors.New("the nested host failed")

// bootLimit is how much processor time the outer machine may take until its agent answers: ten times what it needs. Wall time would
// blame the guest for a loaded host.
const bootLimit = 60 * time.Second

// Run runs a command in the nested host and returns its exit status, as a shell would report it. With an error the
// status is StatusTimeout or StatusInfrastructure.
func Run(ctx context.Context, c Config) (int, error) {
	c, err := c.complete()
	if err != nil {
		return StatusInfrastructure, err
	}
	folders, err := c.shared()
	if err != nil {
		return StatusInfrastructure, err
	}
	if err := c.portsFree(); err != nil {
		return StatusInfrastructure, err
	}
	var shares []wire.Share
	for i, f := range folders {
		shares = append(shares, wire.Share{Tag: fmt.Sprintf("vmm.share%d", i), Path: f})
	}
	khz := make(chan uint64, 1)
	go func() { khz <- tscKHz() }()
	kernel, err := Prepare(ctx, c.Store, c.Kernel, c.Progress)
	if err != nil {
		return StatusInfrastructure, err
	}
	initrd, err := image(ctx, kernel, c)
	if err != nil {
		return StatusInfrastructure, err
	}
	defer initrd.Close()
	o, err := startQEMU(context.WithoutCancel(ctx), arguments(c, kernel, shares, <-khz), initrd, c.Console)
	if err != nil {
		return StatusInfrastructure, err
	}
	defer o.stop()
	var patience atomic.Int64 // there is none before the command runs
	ended := make(chan struct{})
	defer close(ended)
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(time.Duration(patience.Load())):
			o.interrupt(context.Cause(ctx))
		case <-ended:
		}
	})()
	s := newSession(o.channel, c.Stdin, c.Stdout, c.Stderr)
	if err := o.await(s); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return StatusInfrastructure, err
	}
	if c.Prepared != nil {
		c.Prepared()
	}
	patience.Store(int64(c.Patience))
	if c.Timeout > 0 {
		t := time.AfterFunc(c.Timeout, func() { o.interrupt(context.DeadlineExceeded) })
		defer t.Stop()
	}
	exit, err := s.run(wire.Start{
		Args: c.Args, Env: append(c.Env, "VMM_NESTED=1"), Dir: c.Dir, Shares: shares,
		Modules: kernel.ModulesDir, Isolated: c.Isolated, CR8: c.Accel == TCG, Clock: time.Now().UnixNano(),
	})
	switch cause := o.cause(); {
	case err == nil:
		return exit.Status(), nil
	case ctx.Err() != nil:
		return StatusInfrastructure, ctx.Err()
	case errors.Is(cause, context.DeadlineExceeded):
		return StatusTimeout, fmt.Errorf("%s did not end within %v", c.Args[0], c.Timeout)
	case errors.Is(err, errGuest):
		return StatusInfrastructure, o.failure(err.Error())
	}
	return StatusInfrastructure, o.failure(fmt.Sprintf("the machine ended while the command ran (%v)", err))
}

// await waits for the agent, or for the outer machine to end or to take more than bootLimit.
func (o *outer) await(s *session) error {
	stop := make(chan struct{})
	defer close(stop)
	go o.watch(stop)
	if _, err := s.hello(); err != nil {
		if cause := o.cause(); cause != nil {
			err = cause
		}
		return o.failure(fmt.Sprintf("the guest did not start (%v)", err))
	}
	return nil
}

// watch ends a machine that has taken more processor time than a boot needs.
func (o *outer) watch(stop chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-o.done:
			return
		case <-tick.C:
			if cpuTime(o.pid) > bootLimit {
				o.interrupt(fmt.Errorf("no answer after %v of processor time", bootLimit))
				return
			}
		}
	}
}

// cpuTime is what all threads of a process have taken so far; zero when it is not there.
func cpuTime(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field is the program's name in parentheses, which may hold anything; utime and stime are the 14th and
	// 15th (proc(5)), in ticks of 10 ms on every Linux that Go runs on.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
