package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sharevm/vmm/internal/cgroup"
)

// groups are where the control groups of a session's machines are made, one for each process. A nil groups makes none.
type groups struct {
	parent string
	made   int
}

// Names of groups begin so.
const (
	ownGroup      = "vmm-session-"
	machineGroups = "vmm-machine-"
)

// openGroups finds out whether this process may make control groups, and moves it into one of its own where that has to be: a group that has others below it holds no process.
func openGroups(proc string) (_ *groups, err error) {
	parent, err := cgroup.Own(proc)
	if err != nil {
		return nil, err
	}
	cgroup.RemoveEmpty(parent, ownGroup)
	cgroup.RemoveEmpty(parent, machineGroups)
	if !cgroup.IsRoot(parent) {
		own := filepath.Join(parent, fmt.Sprint(ownGroup, os.Getpid()))
		if err := os.Mkdir(own, 0o755); err != nil {
			return nil, err
		}
		if err := cgroup.Enter(own); err != nil {
			return nil, errors.Join(err, os.Remove(own))
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, cgroup.Enter(parent), os.Remove(own))
			}
		}()
	}
	if err := cgroup.Enable(parent, "cpu"); err != nil {
		return nil, err
	}
	_ = cgroup.Enable(parent, "io") // not every kernel shares disks so
	return &groups{parent: parent}, nil
}

// group is the control group of a machine's process.
type group struct {
	dir  string
	file *os.File // the folder
}

// add makes a group.
func (g *groups) add() (*group, error) {
	if g == nil {
		return nil, nil
	}
	g.made++
	dir := filepath.Join(g.parent, fmt.Sprintf("%s%d-%d", machineGroups, os.Getpid(), g.made))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	return &group{dir, f}, nil
}

// Weights of processors and disks, from 1 to 10000; the kernel's default is the one of the machine in front.
const (
	frontWeight  = "100"
	behindWeight = "1"
)

// yield has the group yield to others, or takes that back.
func (g *group) yield(on bool) error {
	weight := frontWeight
	if on {
		weight = behindWeight
	}
	_ = os.WriteFile(filepath.Join(g.dir, "io.weight"), []byte("default "+weight), 0) // where there is one
	return os.WriteFile(filepath.Join(g.dir, "cpu.weight"), []byte(weight), 0)
}

// remove removes the group of a process that has ended.
func (g *group) remove() {
	if g == nil {
		return
	}
	_ = g.file.Close()
	cgroup.RemoveEmpty(g.dir, "") // what it made for limits of its own
	_ = os.Remove(g.dir)
}
