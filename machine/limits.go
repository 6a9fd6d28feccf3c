package machine

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/machine/limits"
)

// gates are what the work of a disk or a network card passes: reads and writes, or frames to the guest and from it.
type gates struct{ in, out *throttle.Gate }

// openLimits puts the limits of the configuration in force, those of VMware's keys where ours say nothing.
func (m *Machine) openLimits() {
	m.started = time.Now()
	l := m.cfg.Limits
	if cpu := m.cfg.CPU; l.CPUShares == 0 && cpu.Shares != 0 {
		l.CPUShares = int64(min(max(cpu.Shares/max(cpu.Count, 1), 1), config.MaxShares)) // VMware's are for all of its processors
	}
	if limit := m.cfg.CPU.LimitMHz; l.CPUQuota == 0 && limit != 0 {
		if mhz := hostMHz("/proc/cpuinfo"); mhz > 0 {
			l.CPUQuota = int64(min(max(float64(limit)*1000/mhz, 1), config.MaxQuota))
		}
	}
	shares, quota := l.CPUShares, l.CPUQuota
	m.cpu = limits.OpenCPU(shares != 0 || quota != 0)
	l.CPUShares, l.CPUQuota = 0, 0
	m.limits = limits.New(clock.Host, l, m.cpu)
	l.CPUShares, l.CPUQuota = shares, quota
	if err := m.limits.Apply(l); err != nil {
		m.log.Warn("the machine runs without its limit on processors", "error", err)
		l.CPUQuota = 0
		_ = m.limits.Apply(l) // shares alone are better than nothing
	}
	for i := range m.cfg.Disks {
		reads, writes := m.limits.Disk(&m.cfg.Disks[i])
		m.diskGates = append(m.diskGates, gates{reads, writes})
	}
	for range m.cfg.NICs {
		in, out := m.limits.Network()
		m.nicGates = append(m.nicGates, gates{in, out})
	}
}

// hostMHz is the clock of the host's first processor, 0 where it cannot be told.
func hostMHz(cpuinfo string) float64 {
	f, err := os.Open(cpuinfo)
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		if strings.TrimSpace(name) == "cpu MHz" {
			mhz, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return max(mhz, 0)
		}
	}
	return 0
}

// Limits are the limits in force.
func (m *Machine) Limits() config.Limits { return m.limits.Limits() }

// SetLimits puts other limits in force, at once. After an error, which is about processors, those of disks and network are in force.
func (m *Machine) SetLimits(l config.Limits) error {
	if err := m.limits.Apply(l); err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	return nil
}
