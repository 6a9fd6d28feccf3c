package limits

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"golang.org/x/sys/unix"
)

// The ways in which processors are limited.
const (
	ByGroup = "cgroup" // a control group of the machine's own: shares and quota
	ByNice  = "nice"   // the priorities of the vCPUs' threads: shares alone
)

// defaultShares is what a machine has where nothing says otherwise, and what every other process counts as.
const defaultShares = 1000

// CPU limits the processors of this process. A nil CPU limits nothing, and refuses to.
type CPU struct {
	group *group // nil without one
	why   error  // why there is none

	mu            sync.Mutex
	threads       map[int]struct{} // of vCPUs
	shares, quota int64            // in force; 0 where nothing has been said
}

// errUnprepared is why a machine that was started without any limit on processors has no group.
var errUnprepared = errors.New("the machine was started without a limit on processors (vmm run --limit cpu.shares=1000)")

// OpenCPU gets hold of what limits this process, which has to happen before a sandbox closes the way to it. With grouped it moves the process
// into a control group of its own, if it may. That takes the kernel a while: it is for machines that are to have limits.
func OpenCPU(grouped bool) *CPU {
	c := &CPU{threads: make(map[int]struct{}), why: errUnprepared}
	if grouped {
		c.group, c.why = openGroup("/proc/self")
	}
	return c
}

// Means says how processors are limited, ByGroup or ByNice, and why not by a group.
func (c *CPU) Means() (means string, why error) {
	if c.group != nil {
		return ByGroup, nil
	}
	return ByNice, c.why
}

// InForce is what Apply has last put in force.
func (c *CPU) InForce() (shares, quota int64) {
	if c == nil {
		return 0, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shares, c.quota
}

// ByPriority says whether threads' priorities stand in for a control group.
func (c *CPU) ByPriority() bool { return c != nil && c.group == nil }

// Thread gives the calling thread, which is a vCPU's until it calls ended, the priority in force. What goes wrong leaves the thread as it is.
func (c *CPU) Thread() (ended func()) {
	if c == nil || c.group != nil {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	tid := unix.Gettid()
	c.threads[tid] = struct{}{}
	if c.shares != 0 {
		_ = unix.Setpriority(unix.PRIO_PROCESS, tid, niceOf(c.shares))
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.threads, tid) // the number will be another thread's, of any process
	}
}

// Apply puts shares and a quota (config.Limits has the units, 0 being the default of each) in force. After an error nothing has changed,
// but for threads that already have their new priority.
func (c *CPU) Apply(shares, quota int64) error {
	if c == nil {
		if shares != 0 || quota != 0 {
			return errors.New("processors cannot be limited here")
		}
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if shares == c.shares && quota == c.quota {
		return nil
	}
	var err error
	if c.group != nil {
		err = c.group.apply(shares, quota)
	} else {
		err = c.renice(shares, quota)
	}
	if err == nil {
		c.shares, c.quota = shares, quota
	}
	return err
}

// renice does with priorities what it can. c.mu is held.
func (c *CPU) renice(shares, quota int64) error {
	if quota != 0 {
		return fmt.Errorf("cpu.quota needs a control group of the machine's own: %w", c.why)
	}
	nice := niceOf(shares)
	for tid := range c.threads {
		switch err := unix.Setpriority(unix.PRIO_PROCESS, tid, nice); err {
		case nil:
		case unix.EACCES, unix.EPERM:
			return fmt.Errorf("cpu.shares: only a privileged process may raise its priority, once lowered too (and there is no control group: %w)", c.why)
		default:
			return fmt.Errorf("cpu.shares: setting the priority of a vCPU: %w", err)
		}
	}
	return nil
}

// niceOf is the nice value whose weight is nearest to shares: each step is a factor of 1.25 (sched(7)).
func niceOf(shares int64) int {
	if shares == 0 {
		return 0
	}
	n := -math.Round(math.Log(float64(shares)/defaultShares) / math.Log(1.25))
	return int(max(-20, min(19, n)))
}
