package rtc

import (
	"time"

	"github.com/sharevm/vmm/vmm/state"
)

const (
	stateName    = "rtc"
	stateVersion = 1

	// farthest bounds the seconds since 1970 of a restored time: beyond what two digits of century can say.
	farthest = 1 << 40
)

// Pause implements state.Device.
func (r *RTC) Pause() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settle()
	r.paused = true
	if r.timer != nil {
		r.timer.Stop()
	}
}

// Resume implements state.Device. The time that has passed meanwhile has passed for the guest as well.
func (r *RTC) Resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paused = false
	r.settle()
	r.update()
}

// Save implements state.Device. It keeps how far the guest's clock is from the host's, not the time.
func (r *RTC) Save(w *state.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.Version(stateName, stateVersion)
	w.U8(r.index[0])
	w.U8(r.index[1])
	w.Bytes(r.ram[:])
	for _, t := range []time.Time{r.base, r.anchor, r.seen} {
		w.U64(uint64(t.Unix()))
		w.U32(uint32(t.Nanosecond()))
	}
}

// Restore implements state.Device.
func (r *RTC) Restore(s *state.Reader) error {
	s.Version(stateName, stateVersion)
	index := [2]uint8{s.U8(), s.U8()}
	ram := s.Bytes(ramSize)
	var times [3]time.Time
	for i := range times {
		sec, nsec := int64(s.U64()), s.U32()
		if sec < -farthest || sec > farthest || nsec >= uint32(time.Second) {
			s.Fail("rtc: time %d.%09d", sec, nsec)
		}
		times[i] = time.Unix(sec, int64(nsec)).UTC()
	}
	switch {
	case s.Err() != nil:
		return s.Err()
	case index[0] >= bankSize || index[1] >= bankSize:
		s.Fail("rtc: index % x", index)
	case len(ram) != ramSize:
		s.Fail("rtc: %d bytes of CMOS memory", len(ram))
	case ram[regA]&aUpdating != 0 || ram[regC]&^cInterrupt != 0 || ram[regB]&bSet != 0 && ram[regB]&bUpdate != 0:
		s.Fail("rtc: control registers % x", ram[regA:regD+1])
	}
	if err := s.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.index = index
	copy(r.ram[:], ram)
	r.base, r.anchor, r.seen = times[0], times[1], times[2]
	r.update()
	return nil
}
