package rtc

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/vmm/irq"
)

// TestAlarmIsFoundQuickly has a guest write alarm registers in a loop: no alarm, nor one that never comes, may cost the host more than
// the exit does.
func TestAlarmIsFoundQuickly(t *testing.T) {
	for _, alarm := range [][3]uint8{{anytime, anytime, 0x60}, {anytime, 0x60, anytime}, {0x24, anytime, anytime}, {0x11, 0x59, 0x58}} {
		k := newChip(t, Config{})
		k.set(regB, b24Hour|bAlarm)
		for i, reg := range []uint8{regHourAlarm, regMinuteAlarm, regSecondAlarm} {
			k.set(reg, alarm[i])
		}
		begin := time.Now()
		for range 5000 {
			k.set(regSecondAlarm, alarm[2])
		}
		// A walk through the seconds of a day takes about a millisecond.
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("alarm % x: 5000 writes took %v", alarm, took)
		}
	}
}

// TestNextAlarm compares with a walk through all seconds of a day.
func TestNextAlarm(t *testing.T) {
	for _, control := range []uint8{0, bBinary, b24Hour, b24Hour | bBinary} {
		for _, alarm := range [][3]uint8{
			{anytime, anytime, anytime}, {0x11, 0x59, 0x59}, {0x12, 0, 0}, {11, 59, 58}, {0x81, anytime, 0x30}, {anytime, 0x30, anytime},
			{0, 0, 0}, {0x23, 0x59, 0x59}, {23, 59, 59}, {0xFF, 0xC1, 7}, {0x92, 0x10, anytime}, {0x12, anytime, 0x0A}, {5, 60, 0},
		} {
			k := newChip(t, Config{})
			k.ram[regB] = control
			for i, reg := range []int{regHourAlarm, regMinuteAlarm, regSecondAlarm} {
				k.ram[reg] = alarm[i]
			}
			matches := func(reg int, v uint8) bool { return k.ram[reg] >= anytime || k.ram[reg] == v }
			var want time.Time
			for at := start.Add(time.Second); !at.After(start.Add(24 * time.Hour)); at = at.Add(time.Second) {
				if matches(regHourAlarm, k.encodeHour(at.Hour())) && matches(regMinuteAlarm, k.encode(at.Minute())) && matches(regSecondAlarm, k.encode(at.Second())) {
					want = at
					break
				}
			}
			if got, ok := k.nextAlarm(start.Add(time.Millisecond)); ok == want.IsZero() || !got.Equal(want) {
				t.Errorf("register B %#x, alarm % x: %v, %v, want %v", control, alarm, got, ok, want)
			}
		}
	}
}

// TestPanickingTimer has the clock's own goroutine panic: the machine stays, and so does the clock.
func TestPanickingTimer(t *testing.T) {
	var log bytes.Buffer
	fake := clock.NewFake(start)
	broken := true
	r := New(Config{Clock: fake, Log: slog.New(slog.NewTextHandler(&log, nil)), Line: irq.LineFunc(func(high bool) {
		if broken {
			panic("a line that is not there")
		}
	})})
	k := chip{t: t, RTC: r, Fake: fake}
	k.set(regB, b24Hour|bUpdate)
	k.Advance(time.Minute)
	if !strings.Contains(log.String(), "a line that is not there") {
		t.Errorf("the log says %q", log.String())
	}
	broken = false
	k.want("register B", k.get(regB), b24Hour|bUpdate)
}
