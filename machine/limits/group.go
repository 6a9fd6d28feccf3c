package limits

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// group is a control group (cgroup v2, Documentation/admin-guide/cgroup-v2.rst) that holds this process and no other.
type group struct {
	weight, quota *os.File // cpu.weight and cpu.max, open so that a sandbox does not shut them out
}

// period is how often a quota is given anew, in microseconds: the kernel's default.
const period = 100_000

// openGroup makes a control group below the one that this process is in, and moves it there. That takes a group that holds this process
// alone, and the right to change it: what systemd calls a delegated unit. Elsewhere it errs, and leaves everything as it was: to
// move out of a unit would hide the process from whoever manages it.
func openGroup(proc string) (_ *group, err error) {
	mount, err := mountPoint(filepath.Join(proc, "mountinfo"))
	if err != nil {
		return nil, err
	}
	own, err := ownGroup(filepath.Join(proc, "cgroup"))
	if err != nil {
		return nil, err
	}
	parent := filepath.Join(mount, own)
	if own != "/" { // the root may hold processes beside groups
		if err := alone(parent); err != nil {
			return nil, err
		}
	}
	removeEmpty(parent)
	dir := filepath.Join(parent, fmt.Sprint(groupPrefix, os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	g := &group{}
	defer func() {
		if err != nil {
			g.close()
			_ = enter(parent)
			_ = os.Remove(dir)
		}
	}()
	if err := enter(dir); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+cpu"), 0); err != nil {
		return nil, err
	}
	if g.weight, err = os.OpenFile(filepath.Join(dir, "cpu.weight"), os.O_RDWR, 0); err != nil {
		return nil, err
	}
	g.quota, err = os.OpenFile(filepath.Join(dir, "cpu.max"), os.O_RDWR, 0)
	return g, err
}

// enter moves this process into a group.
func enter(dir string) error { return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0) }

// alone errs unless a group holds this process and no other.
func alone(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(b)) != fmt.Sprint(os.Getpid()) {
		return fmt.Errorf("control group %s has other processes (systemd-run --user --scope -p Delegate=yes vmm run ... makes one)", dir)
	}
	return nil
}

func (g *group) close() {
	for _, f := range []*os.File{g.weight, g.quota} {
		if f != nil {
			_ = f.Close()
		}
	}
}

const groupPrefix = "vmm-"

// removeEmpty removes the groups of processes that are gone; the kernel keeps those that are in use.
func removeEmpty(parent string) {
	old, _ := filepath.Glob(filepath.Join(parent, groupPrefix+"*"))
	for _, dir := range old {
		_ = os.Remove(dir)
	}
}

// mountPoint is where cgroup v2 is mounted.
func mountPoint(mountinfo string) (string, error) {
	f, err := os.Open(mountinfo)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); { // proc(5): ID PARENT DEV ROOT MOUNTPOINT OPTIONS... - TYPE SOURCE OPTIONS
		before, after, _ := strings.Cut(s.Text(), " - ")
		fields := strings.Fields(before)
		if strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 {
			return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`).Replace(fields[4]), nil
		}
	}
	return "", errors.New("cgroup v2 is not mounted")
}

// ownGroup is the path of a process's group below the mount point.
func ownGroup(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for s := bufio.NewScanner(io.LimitReader(f, 1<<20)); s.Scan(); {
		if path, ok := strings.CutPrefix(s.Text(), "0::"); ok {
			if !filepath.IsAbs(path) || strings.HasPrefix(path, "/..") {
				break
			}
			return filepath.Clean(path), nil
		}
	}
	return "", errors.New("the process is in no group of cgroup v2")
}

// apply sets weight and quota; 0 is the kernel's default of each.
func (g *group) apply(shares, quota int64) error {
	if shares == 0 {
		shares = defaultShares
	}
	// A weight is from 1 to 10000, 100 by default.
	if _, err := g.weight.WriteAt([]byte(fmt.Sprint(min(max(shares/10, 1), 10000))), 0); err != nil {
		return fmt.Errorf("cpu.shares: %w", err)
	}
	limit := "max"
	if quota != 0 {
		limit = fmt.Sprint(max(quota*period/1000, 1000)) // the kernel takes no less than a millisecond
	}
	if _, err := g.quota.WriteAt([]byte(fmt.Sprint(limit, " ", period)), 0); err != nil {
		return fmt.Errorf("cpu.quota: %w", err)
	}
	return nil
}
