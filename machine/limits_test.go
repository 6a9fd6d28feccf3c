package machine

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/config"
)

// TestOpenLimits takes VMware's shares where ours say nothing, for all processors together.
func TestOpenLimits(t *testing.T) {
	for _, test := range []struct {
		cpu    config.CPU
		limits config.Limits
		want   int64 // shares
	}{
		{config.CPU{Count: 2, Shares: 1000}, config.Limits{}, 500},
		{config.CPU{Count: 2, Shares: 1000}, config.Limits{CPUShares: 700}, 700},
		{config.CPU{Count: 1}, config.Limits{}, 0},
	} {
		m := &Machine{cfg: config.New("test"), log: slog.New(slog.DiscardHandler)}
		m.cfg.CPU, m.cfg.Limits = test.cpu, test.limits
		m.cfg.Disks, m.cfg.NICs = make([]config.Disk, 2), make([]config.NIC, 1)
		m.cfg.Limits.DiskOps.PerSecond = 5
		m.openLimits()
		if l := m.Limits(); l.CPUShares != test.want || l.DiskOps.PerSecond != 5 || len(m.diskGates) != 2 || len(m.nicGates) != 1 {
			t.Errorf("%+v, %d and %d gates; want %d shares", l, len(m.diskGates), len(m.nicGates), test.want)
		}
	}
}

func TestHostMHz(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpuinfo")
	for text, want := range map[string]float64{"processor\t: 0\ncpu MHz\t\t: 2450.5\ncpu MHz : 1\n": 2450.5, "cpu MHz : x\n": 0, "cpu MHz : -5\n": 0, "": 0} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := hostMHz(path); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
