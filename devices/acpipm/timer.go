package acpipm

import (
	"time"

	"github.com/sharevm/vmm/internal/guard"
)

const (
	timerHz  = 3_579_545
	carryBit = 31 // a change of this bit sets the timer's status
)

// settle brings the PM timer's count up to date, and its status.
func (d *Device) settle() {
	passed := max(d.cfg.Clock.Now().Sub(d.start), 0)
	// Whole seconds apart: the product of nanoseconds and rate would overflow within the hour.
	count := d.origin + uint64(passed/time.Second)*timerHz + uint64(passed%time.Second)*timerHz/uint64(time.Second)
	if d.count>>carryBit != count>>carryBit {
		d.status |= eventTimer
	}
	d.count = count
}

// duration is how long ticks of the PM timer last, rounded down to a nanosecond.
func duration(ticks uint64) time.Duration {
	return time.Duration(ticks/timerHz)*time.Second + time.Duration(ticks%timerHz*uint64(time.Second)/timerHz)
}

// schedule makes the host's timer run exactly while the guest waits for a carry.
func (d *Device) schedule() {
	if d.control&controlSCI == 0 || d.enable&eventTimer == 0 || d.status&eventTimer != 0 {
		if d.timer != nil {
			d.timer.Stop()
		}
		return
	}
	d.settle()
	if d.timer == nil {
		d.timer = d.cfg.Clock.NewTimer(d.expired)
	}
	left := 1<<carryBit - d.count&(1<<carryBit-1)
	d.timer.Reset(duration(left) + time.Microsecond) // not a tick too early
}

// expired is called by the timer.
func (d *Device) expired() {
	defer guard.Panic(d.cfg.Log, "PM timer")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settle()
	d.update()
}
