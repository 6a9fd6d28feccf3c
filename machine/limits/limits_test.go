package limits

import (
	"testing"
	"time"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/throttle"
)

// through has somebody greedy work at a gate for 10 seconds, after one to use the burst up, in jobs of so many bytes. It returns
// jobs and bytes a second.
func through(c *clock.Fake, gates []*throttle.Gate, size int64) (jobs, bytes float64) {
	count := int64(0)
	for _, g := range gates {
		var w *throttle.Waiter
		run := func() {
			for w.Pass(g) {
				g.Pay(1, size)
				count++
			}
		}
		w = throttle.NewWaiter(c, run)
		defer w.Stop()
		run()
	}
	c.Advance(time.Second)
	before := count
	c.Advance(10 * time.Second)
	return float64(count-before) / 10, float64((count-before)*size) / 10
}

func within(got, want float64) bool { return got > 0.9*want && got < 1.1*want }

func TestDiskLimits(t *testing.T) {
	all := config.Limits{
		DiskOps: throttle.Rate{PerSecond: 300}, DiskReadOps: throttle.Rate{PerSecond: 200}, DiskWriteOps: throttle.Rate{PerSecond: 50},
		DiskBytes: throttle.Rate{PerSecond: 4 << 20}, DiskReadBytes: throttle.Rate{PerSecond: 3 << 20}, DiskWriteBytes: throttle.Rate{PerSecond: 1 << 20},
	}
	for _, test := range []struct {
		name        string
		d           config.Disk
		read, write bool
		size        int64
		jobs, bytes float64 // 0: not the one that rules
	}{
		{"reads", config.Disk{}, true, false, 512, 200, 0},
		{"large reads", config.Disk{}, true, false, 1 << 20, 0, 3 << 20},
		{"writes", config.Disk{}, false, true, 512, 50, 0},
		{"large writes", config.Disk{}, false, true, 1 << 20, 0, 1 << 20},
		{"both", config.Disk{}, true, true, 512, 250, 0},
		{"large both", config.Disk{}, true, true, 1 << 20, 0, 4 << 20},
		{"its own operations", config.Disk{OpsCap: 20}, true, true, 512, 20, 0},
		{"its own bytes", config.Disk{BytesCap: 1 << 19}, true, true, 1 << 17, 0, 1 << 19},
	} {
		c := clock.NewFake(time.Unix(0, 0))
		reads, writes := New(c, all, nil).Disk(&test.d)
		var gates []*throttle.Gate
		if test.read {
			gates = append(gates, reads)
		}
		if test.write {
			gates = append(gates, writes)
		}
		jobs, bytes := through(c, gates, test.size)
		if test.jobs != 0 && !within(jobs, test.jobs) || test.bytes != 0 && !within(bytes, test.bytes) {
			t.Errorf("%s: %.0f operations and %.0f bytes a second, want %.0f or %.0f", test.name, jobs, bytes, test.jobs, test.bytes)
		}
	}
}

// TestSharedAndChanged has two cards share what the machine may send, and then less of it.
func TestSharedAndChanged(t *testing.T) {
	c := clock.NewFake(time.Unix(0, 0))
	s := New(c, config.Limits{NetOut: throttle.Rate{PerSecond: 1 << 20}}, nil)
	in, out := s.Network()
	_, other := s.Network()
	if _, bytes := through(c, []*throttle.Gate{out, other}, 1514); !within(bytes, 1<<20) {
		t.Errorf("%.0f bytes a second, want %d", bytes, 1<<20)
	}
	l := s.Limits()
	l.NetOut.PerSecond, l.NetIn.PerSecond = 1<<17, 1<<18
	if err := s.Apply(l); err != nil || s.Limits() != l {
		t.Fatalf("%+v, %v", s.Limits(), err)
	}
	if _, bytes := through(c, []*throttle.Gate{out, other}, 1514); !within(bytes, 1<<17) {
		t.Errorf("%.0f bytes a second, want %d", bytes, 1<<17)
	}
	if _, bytes := through(c, []*throttle.Gate{in}, 1514); !within(bytes, 1<<18) {
		t.Errorf("%.0f bytes a second come in, want %d", bytes, 1<<18)
	}
}

// TestApplyKeepsDebts: a limit that stays as it is must not be fuller for others that change.
func TestApplyKeepsDebts(t *testing.T) {
	c := clock.NewFake(time.Unix(0, 0))
	s := New(c, config.Limits{NetOut: throttle.Rate{PerSecond: 1000}}, nil)
	_, out := s.Network()
	out.Pay(1, 1_000_000)
	l := s.Limits()
	l.NetIn.PerSecond = 5
	if err := s.Apply(l); err != nil {
		t.Fatal(err)
	}
	if out.Delay() < time.Minute {
		t.Error("a debt was forgiven")
	}
}

// TestNoCPU refuses what cannot be had and puts the rest in force.
func TestNoCPU(t *testing.T) {
	s := New(clock.Host, config.Limits{}, nil)
	l := config.Limits{CPUQuota: 500, NetIn: throttle.Rate{PerSecond: 7}}
	if err := s.Apply(l); err == nil {
		t.Error("a quota without processors is taken")
	}
	l.CPUQuota = 0
	if s.Limits() != l {
		t.Errorf("%+v is in force, want %+v", s.Limits(), l)
	}
}
