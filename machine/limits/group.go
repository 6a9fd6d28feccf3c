package limits

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/sharevm/vmm/internal/cgroup"
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
	parent, err := cgroup.Own(proc)
	if err != nil {
		return nil, err
	}
	cgroup.RemoveEmpty(parent, groupPrefix)
	dir := filepath.Join(parent, fmt.Sprint(groupPrefix, os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	g := &group{}
	defer func() {
		if err != nil {
			g.close()
			_ = cgroup.Enter(parent)
			_ = os.Remove(dir)
		}
	}()
	if err := cgroup.Enter(dir); err != nil {
		return nil, err
	}
	if err := cgroup.Enable(parent, "cpu"); err != nil {
		return nil, err
	}
	if g.weight, err = os.OpenFile(filepath.Join(dir, "cpu.weight"), os.O_RDWR, 0); err != nil {
		return nil, err
	}
	g.quota, err = os.OpenFile(filepath.Join(dir, "cpu.max"), os.O_RDWR, 0)
	return g, err
}

func (g *group) close() {
	for _, f := range []*os.File{g.weight, g.quota} {
		if f != nil {
			_ = f.Close()
		}
	}
}

const groupPrefix = "vmm-"

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
