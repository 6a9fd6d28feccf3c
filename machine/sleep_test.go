package machine

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/sharevm/vmm/devices/acpipm"
	"github.com/sharevm/vmm/devices/rtc"
	"github.com/sharevm/vmm/machine/control"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
)

// TestDoze wakes a machine that sleeps in each way that there is.
func TestDoze(t *testing.T) {
	ended, end := context.WithCancel(context.Background())
	end()
	for _, c := range []struct {
		name   string
		ctx    context.Context
		wake   func(m *Machine)
		on     bool
		memory bool
		cause  acpipm.WakeCause
	}{
		{"power button", context.Background(), func(m *Machine) { m.PowerButton(); m.PowerButton() }, true, true, acpipm.WokenByButton},
		{"reset", context.Background(), func(m *Machine) { m.Reset() }, true, false, 0},
		{"reset by another process", context.Background(), func(m *Machine) { _ = m.Restart() }, true, false, 0},
		{"power off", context.Background(), func(m *Machine) { m.PowerOff() }, false, false, 0},
		{"end of the run", ended, nil, false, false, 0},
		{"off before it slept", context.Background(), nil, false, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem, err := memory.New(memory.Config{Size: 1 << 20, LowLimit: 1 << 30, HighBase: 1 << 32})
			if err != nil {
				t.Fatal(err)
			}
			m := &Machine{log: slog.New(slog.DiscardHandler), off: c.wake == nil && c.ctx.Err() == nil}
			if m.PowerButton() {
				t.Error("a machine that is off hears its button")
			}
			b := &board{m: m, mem: mem, clock: rtc.New(rtc.Config{Line: irq.LineFunc(func(bool) {})})}
			if c.wake != nil {
				go func() {
					for asleep := false; !asleep; runtime.Gosched() {
						m.mu.Lock()
						asleep = m.state() == control.Asleep
						m.mu.Unlock()
					}
					files := map[string]*os.File{}
					for _, name := range m.SnapshotFiles() {
						files[name] = os.Stderr // which nothing comes to
					}
					if err := m.SaveSnapshot(files, nil, nil); !errors.Is(err, errAsleep) {
						t.Errorf("a machine that sleeps is saved: %v", err)
					}
					c.wake(m)
				}()
			}
			s, on := m.doze(c.ctx, b, 0)
			if on != c.on || (s != nil) != c.memory {
				t.Fatalf("on %v, memory %v", on, s != nil)
			}
			if s == nil {
				return
			}
			if s.cause != c.cause {
				t.Errorf("cause %d", s.cause)
			}
			if err := s.memory.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDozeUntilAlarm has the clock's alarm wake the machine: it is set to match every second.
func TestDozeUntilAlarm(t *testing.T) {
	clock := rtc.New(rtc.Config{Line: irq.LineFunc(func(bool) {})})
	for reg, v := range map[uint8]uint8{1: 0xFF, 3: 0xFF, 5: 0xFF, 0x0B: 0x22} { // the alarm's fields, and its interrupt
		clock.Write(0, []byte{reg})
		clock.Write(1, []byte{v})
	}
	clock.Pause()
	if wait, set := clock.UntilAlarm(); !set || wait > time.Second {
		t.Fatalf("the alarm is in %v, %v", wait, set)
	}
	m := &Machine{log: slog.New(slog.DiscardHandler)}
	s, on := m.doze(context.Background(), &board{m: m, clock: clock}, 0)
	if !on || s.cause != acpipm.WokenByClock {
		t.Errorf("on %v, woken by %v", on, s)
	}
}
