package rtc

import (
	"time"

	"github.com/sharevm/vmm/internal/guard"
)

const maxRate = 32768 // Hz, of the crystal

// frequency is the rate of the periodic interrupt in Hz, 0 for none.
func (r *RTC) frequency() int64 {
	switch rate := r.ram[regA] & aRate; {
	case rate == 0 || r.dividerReset():
		return 0
	case rate <= 2:
		return 512 >> rate // 256 and 128
	default:
		return maxRate >> (rate - 1)
	}
}

// ticks counts the periods of frequency hz up to t.
func ticks(t time.Time, hz int64) int64 {
	return t.Unix()*hz + int64(t.Nanosecond())*hz/int64(time.Second)
}

// settle sets the flags of register C for what happened since they were last looked at.
func (r *RTC) settle() {
	from, to := r.seen, r.guest()
	r.seen = to
	if !to.After(from) {
		return
	}
	if hz := r.frequency(); hz != 0 && ticks(to, hz) > ticks(from, hz) {
		r.ram[regC] |= bPeriodic
	}
	if r.stopped() || to.Unix() == from.Unix() {
		return
	}
	r.ram[regC] |= bUpdate
	if at, ok := r.nextAlarm(from); ok && !at.After(to) {
		r.ram[regC] |= bAlarm
	}
}

// nextAlarm is the first second after t that the alarm registers match, within a day. The guest chooses how often it has to be found, so
// that finding it takes some hundred steps at most, also where there is none.
func (r *RTC) nextAlarm(t time.Time) (time.Time, bool) {
	second := r.matches(regSecondAlarm, 60, r.encode)
	minute := r.matches(regMinuteAlarm, 60, r.encode)
	hour := r.matches(regHourAlarm, 24, r.encodeHour)
	if second == 0 || minute == 0 || hour == 0 {
		return time.Time{}, false
	}
	t = t.Truncate(time.Second).Add(time.Second)
	for {
		switch {
		case hour>>t.Hour()&1 == 0:
			t = t.Truncate(time.Hour).Add(time.Hour)
		case minute>>t.Minute()&1 == 0:
			t = t.Truncate(time.Minute).Add(time.Minute)
		case second>>t.Second()&1 == 0:
			t = t.Add(time.Second)
		default:
			return t, true
		}
	}
}

// matches is the set of values below n, as a bit each, that an alarm register matches; encode is how such a value shows in a register.
func (r *RTC) matches(alarm, n int, encode func(int) uint8) (set uint64) {
	a := r.ram[alarm]
	for v := range n {
		if a&anytime == anytime || a == encode(v) {
			set |= 1 << v
		}
	}
	return set
}

// requesting says whether a flag is set whose interrupt is enabled.
func (r *RTC) requesting() bool { return r.ram[regC]&r.ram[regB]&cInterrupt != 0 }

// update sets the interrupt line, and the timer to the next event that would raise it.
func (r *RTC) update() {
	if r.paused {
		return
	}
	if high := r.requesting(); high != r.high {
		r.high = high
		r.line.SetLevel(high)
	}
	wait, ok := r.untilInterrupt()
	switch {
	case ok && r.timer == nil:
		r.timer = r.clock.NewTimer(r.expired)
		fallthrough
	case ok:
		r.timer.Reset(wait)
	case r.timer != nil:
		r.timer.Stop()
	}
}

// untilInterrupt is how long it is until an enabled interrupt comes, if one will and none is there already.
func (r *RTC) untilInterrupt() (wait time.Duration, ok bool) {
	enabled := r.ram[regB] & cInterrupt
	if enabled == 0 || r.high {
		return 0, false
	}
	t := r.guest()
	sooner := func(d time.Duration) {
		if !ok || d < wait {
			wait, ok = d, true
		}
	}
	if hz := r.frequency(); enabled&bPeriodic != 0 && hz != 0 {
		passed := int64(t.Nanosecond()) * hz / int64(time.Second) // in this second
		next := ((passed+1)*int64(time.Second) + hz - 1) / hz
		sooner(time.Duration(next) - time.Duration(t.Nanosecond()))
	}
	if r.stopped() {
		return wait, ok
	}
	if enabled&bUpdate != 0 {
		sooner(time.Second - time.Duration(t.Nanosecond()))
	}
	if enabled&bAlarm != 0 {
		if at, found := r.nextAlarm(t); found {
			sooner(at.Sub(t))
		}
	}
	return wait, ok
}

// expired is called by the timer.
func (r *RTC) expired() {
	defer guard.Panic(r.log, "clock timer")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settle()
	r.update()
}

// UntilAlarm is how long it is until the alarm, if the guest has enabled it: a machine that sleeps wakes then.
func (r *RTC) UntilAlarm() (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ram[regB]&bAlarm == 0 || r.stopped() {
		return 0, false
	}
	r.settle()
	if r.ram[regC]&bAlarm != 0 {
		return 0, true
	}
	at, ok := r.nextAlarm(r.guest())
	return at.Sub(r.guest()), ok
}
