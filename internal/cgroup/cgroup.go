// Package cgroup makes control groups for processes of this program (cgroup v2, Documentation/admin-guide/cgroup-v2.rst), below the group that this process is in. That takes a
// group which holds this process alone, and the right to change it: what systemd calls a delegated unit. To move out of another unit would hide a process from whoever manages it.
package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Own is the folder of the group that this process is in. It errs unless groups may be made there. proc is /proc/self.
func Own(proc string) (string, error) {
	mount, err := mountPoint(filepath.Join(proc, "mountinfo"))
	if err != nil {
		return "", err
	}
	own, err := ownGroup(filepath.Join(proc, "cgroup"))
	if err != nil {
		return "", err
	}
	dir := filepath.Join(mount, own)
	if own != "/" { // the root may hold processes beside groups
		if err := alone(dir); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// IsRoot says whether a group is the root, which may hold processes beside groups.
func IsRoot(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "cgroup.type"))
	return errors.Is(err, os.ErrNotExist)
}

// Enter moves this process into a group.
func Enter(dir string) error { return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0) }

// Enable has the groups below one share what a controller controls. No process may be in that one, unless it is the root.
func Enable(dir, controller string) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0)
}

// RemoveEmpty removes the groups below one whose names begin so and in which there is no process; the kernel keeps the others.
func RemoveEmpty(parent, prefix string) {
	old, _ := filepath.Glob(filepath.Join(parent, prefix+"*"))
	for _, dir := range old {
		_ = os.Remove(dir)
	}
}

// alone errs unless a group holds this process and no other.
func alone(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(b)) != fmt.Sprint(os.Getpid()) {
		return fmt.Errorf("control group %s has other processes (systemd-run --user --scope -p Delegate=yes vmm ... makes one)", dir)
	}
	return nil
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
