package machine

import (
	"context"
	"fmt"
	"time"

	"github.com/sharevm/vmm/boot/acpi"
	"github.com/sharevm/vmm/boot/entry"
	"github.com/sharevm/vmm/devices/acpipm"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/state"
)

// sleep is what outlives the board of a machine that is suspended to RAM: all else loses its power, and is made anew.
type sleep struct {
	memory *memory.Guest
	clock  []byte // the CMOS clock's state
	cause  acpipm.WakeCause
	// Linux takes KVM's clock for one that runs on while it sleeps, and would count back if it began anew.
	uptime time.Duration // of KVM's clock,
	since  time.Time     // at this time
}

// call wakes a machine that sleeps.
type call struct {
	cause acpipm.WakeCause
	cold  bool // a reset: memory is lost
}

// doze keeps what a suspended board leaves behind, and waits until the machine is to go on. It returns nil where that is to be as after a reset, and
// false where the machine was switched off. The board has been taken down, after its clock was read.
func (m *Machine) doze(ctx context.Context, b *board, uptime time.Duration) (s *sleep, on bool) {
	var w state.Writer
	b.clock.Save(&w)
	s = &sleep{memory: b.mem, clock: w.Data(), uptime: uptime, since: time.Now()}
	m.log.Info("the guest sleeps")
	m.opt.Timeline.Add("suspended to RAM")
	var alarm <-chan time.Time
	if wait, set := b.clock.UntilAlarm(); set {
		t := time.NewTimer(wait)
		defer t.Stop()
		alarm = t.C
	}
	calls := make(chan call, 1)
	m.mu.Lock()
	m.calls = calls
	off := m.off
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.calls = nil
		off = off || m.off
		m.mu.Unlock()
		if on = on && !off; s != nil && !on {
			_ = s.memory.Close() // the process ends, or the guest is gone: nothing is lost by it
			s = nil
		}
	}()
	if off {
		return s, false
	}
	select {
	case <-ctx.Done():
		return s, false
	case <-alarm:
		s.cause = acpipm.WokenByClock
	case c := <-calls:
		s.cause = c.cause
		if c.cold {
			err := s.memory.Close()
			s = nil
			if err != nil {
				m.log.Warn("memory of the guest that slept stays", "error", err)
			}
		}
	}
	m.opt.Timeline.Add("woken")
	return s, true
}

// rouse wakes a machine that sleeps, and says whether it slept. The caller holds mu.
func (m *Machine) rouse(c call) bool {
	if m.calls == nil {
		return false
	}
	select {
	case m.calls <- c:
	default: // it is woken already
	}
	return true
}

// shutdownWake is what firmware finds in CMOS memory when it is to wake a system in place of starting one.
const shutdownWake = 0xFE

// wake has the guest go on that slept. Firmware finds out by itself; without any, the boot processor goes on where the guest has said.
func (b *board) wake() error {
	if err := b.clock.Restore(state.NewReader(b.slept.clock)); err != nil {
		return err
	}
	if err := b.vm.SetClock(b.slept.uptime + time.Since(b.slept.since)); err != nil {
		return err
	}
	b.power.Wake(b.slept.cause)
	if byFirmware(b.m.cfg) {
		b.clock.SetShutdownStatus(shutdownWake)
		return nil
	}
	vector, err := acpi.WakingVector(b.mem)
	if err != nil {
		return err
	}
	for i, v := range b.vm.VCPUs() {
		if err := setFirmwareState(v.KVM(), i); err != nil {
			return err
		}
	}
	const realModeEnd = 1 << 20
	if vector == 0 || vector >= realModeEnd {
		return fmt.Errorf("the guest sleeps and has said no address below 1 MiB to wake at, but %#x", vector)
	}
	return setRealMode(b.vm.VCPUs()[0].KVM(), vector)
}

// noKernel is what is loaded when a guest wakes: nothing.
func noKernel() *loading {
	l := &loading{done: make(chan struct{}), state: entry.State{}}
	close(l.done)
	return l
}
