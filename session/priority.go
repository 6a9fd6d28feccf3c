package session

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What a machine in the background has of processors and disks, where others want them too.
const (
	// backgroundNice is of its group of processes (CONFIG_SCHED_AUTOGROUP): a weight of 15 beside the 1024 of the one in front.
	backgroundNice = 19
	// Levels of the disk's best-effort class (ioprio_set(2)).
	foregroundDisk = 4
	backgroundDisk = 7
)

// errSoon is returned when the kernel wants to be asked again a little later.
var errSoon = errors.New("the kernel takes no change of a group's priority yet")

// askAgain is when to ask again: an unprivileged process may change groups ten times a second, whoever they belong to.
const askAgain = 110 * time.Millisecond

// yield has the process yield to others, or takes that back: by its control group, where it has one. Otherwise it does what the host allows, and in ways that are sure to be taken back: the priority of its group, which everyone may raise again,
// and with policies those of its threads, which takes a right (CAP_SYS_NICE, RLIMIT_NICE) and counts where control groups put the other out of force.
func (p *Process) yield(on, policies bool) error {
	if p.background == on {
		return nil
	}
	nice, level := 0, foregroundDisk
	if on {
		nice, level = backgroundNice, backgroundDisk
	}
	if p.group != nil {
		if err := p.group.yield(on); err != nil && !errors.Is(err, os.ErrNotExist) { // it has ended
			return err
		}
		p.background = on
		return nil
	}
	dir := filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid))
	err := os.WriteFile(filepath.Join(dir, "autogroup"), strconv.AppendInt(nil, int64(nice), 10), 0)
	if errors.Is(err, unix.EAGAIN) {
		return errSoon
	}
	// Threads that are made meanwhile are like the one that makes them.
	const passes = 5
	for pass, changed := 0, true; changed && pass < passes; pass++ {
		changed = false
		for _, tid := range threads(dir) {
			const whoProcess, bestEffort = 1, 2 << 13
			_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, uintptr(tid), uintptr(bestEffort|level))
			if policies && setIdle(tid, on) {
				changed = true
			}
		}
	}
	p.background = on
	return nil
}

// Yield has a process that no Keeper keeps yield to all others, for as long as it lives. It does what the host allows.
func (p *Process) Yield() {
	for errors.Is(p.yield(true, true), errSoon) {
		time.Sleep(askAgain)
	}
}

// threads are those of a process.
func threads(dir string) (tids []int) {
	entries, _ := os.ReadDir(filepath.Join(dir, "task")) // none of a process that has ended
	for _, e := range entries {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids
}

// setIdle has a thread run when no other wants to, or as others do, and says whether that was a change.
func setIdle(tid int, on bool) (changed bool) {
	a, err := unix.SchedGetAttr(tid, 0)
	if err != nil || a.Policy != unix.SCHED_NORMAL && a.Policy != unix.SCHED_IDLE || on == (a.Policy == unix.SCHED_IDLE) {
		return false
	}
	a.Policy = unix.SCHED_NORMAL
	if on {
		a.Policy = unix.SCHED_IDLE
	}
	return unix.SchedSetAttr(tid, a, 0) == nil
}

// mayRaise says whether this process may give a thread back the policy that it has taken from it (sched(7)).
func mayRaise() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_NICE) != 0 {
		return true
	}
	const forNormal = 20 // 20 less the nice value of 0
	var l unix.Rlimit
	return unix.Getrlimit(unix.RLIMIT_NICE, &l) == nil && l.Cur >= forNormal
}

// groupsCount says whether the scheduler heeds the priorities of groups of processes: where there are such groups, and no control group stands between them and the processor.
func groupsCount(proc string) bool {
	b, err := os.ReadFile(filepath.Join(proc, "sys/kernel/sched_autogroup_enabled"))
	if err != nil || strings.TrimSpace(string(b)) != "1" {
		return false
	}
	b, err = os.ReadFile(filepath.Join(proc, "self/cgroup"))
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(b)) { // proc(5): ID:CONTROLLERS:PATH
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 || fields[2] == "/" {
			continue
		}
		for _, c := range strings.Split(fields[1], ",") {
			if c == "cpu" {
				return false
			}
		}
		if fields[1] == "" && controlsCPU(fields[2]) {
			return false
		}
	}
	return true
}

// controlsCPU says whether a control group of cgroup v2, or one above it, has a share of processors of its own.
func controlsCPU(group string) bool {
	for ; group != "/" && group != "."; group = filepath.Dir(group) {
		if _, err := os.Stat(filepath.Join("/sys/fs/cgroup", group, "cpu.weight")); err == nil {
			return true
		}
	}
	return false
}

// prioritize gives each machine its due until ctx ends: at first to the one in front what it had to give up, then to the others less.
func (k *Keeper) prioritize(end <-chan struct{}) {
	// Not both: who runs when nobody else wants to answers nobody while the one in front is busy.
	groups := groupsCount("/proc")
	policies := !groups && mayRaise()
	if k.groups == nil && !groups && !policies {
		k.cfg.Log.Warn("machines in the background have as much of the processors as the one in front: the host lets this user change nothing about it (systemd-run --user --scope -p Delegate=yes vmm session ... does)")
	}
	var soon <-chan time.Time
	for {
		select {
		case <-k.turnedTo:
		case <-soon:
		case <-end:
			return
		}
		k.mu.Lock()
		front := k.front
		var list []*Process
		for i, p := range k.processes {
			switch {
			case p == nil:
			case i == front:
				list = append([]*Process{p}, list...)
			default:
				list = append(list, p)
			}
		}
		inFront := k.processes[front]
		k.mu.Unlock()
		soon = nil
		for _, p := range list {
			if p.yield(p != inFront, policies) != nil { // in good time it may go
				soon = time.After(askAgain)
				break
			}
		}
	}
}
