package rtc

import "time"

// timeRegisters are the registers that advance with the time.
var timeRegisters = [...]uint64{regSecond, regMinute, regHour, regWeekday, regDay, regMonth, regYear, regCentury}

func isTime(reg uint64) bool {
	switch reg {
	case regSecond, regMinute, regHour, regWeekday, regDay, regMonth, regYear, regCentury:
		return true
	}
	return false
}

// timeRegister is what reg shows at the time t, in the format that register B chooses.
func (r *RTC) timeRegister(reg uint64, t time.Time) uint8 {
	switch reg {
	case regSecond:
		return r.encode(t.Second())
	case regMinute:
		return r.encode(t.Minute())
	case regHour:
		return r.encodeHour(t.Hour())
	case regWeekday:
		return r.encode(int(t.Weekday()) + 1) // Sunday is 1
	case regDay:
		return r.encode(t.Day())
	case regMonth:
		return r.encode(int(t.Month()))
	case regYear:
		return r.encode(t.Year() % 100)
	}
	return r.encode(t.Year() / 100 % 100)
}

// registersTime is the time that the registers hold. A field out of range carries into the next, as the guest asked for nonsense.
func (r *RTC) registersTime() time.Time {
	f := func(reg int) int { return r.decode(r.ram[reg]) }
	return time.Date(f(regCentury)*100+f(regYear), time.Month(f(regMonth)), f(regDay), r.decodeHour(r.ram[regHour]), f(regMinute), f(regSecond), 0, time.UTC)
}

// encode gives v, 0 to 99, as a register shows it: binary or BCD.
func (r *RTC) encode(v int) uint8 {
	if r.ram[regB]&bBinary != 0 {
		return uint8(v)
	}
	return uint8(v/10<<4 | v%10)
}

func (r *RTC) decode(v uint8) int {
	if r.ram[regB]&bBinary != 0 {
		return int(v)
	}
	return int(v>>4)*10 + int(v&0xF)
}

func (r *RTC) encodeHour(h int) uint8 {
	if r.ram[regB]&b24Hour != 0 {
		return r.encode(h)
	}
	v := r.encode((h+11)%12 + 1)
	if h >= 12 {
		v |= pm
	}
	return v
}

func (r *RTC) decodeHour(v uint8) int {
	if r.ram[regB]&b24Hour != 0 {
		return r.decode(v)
	}
	h := r.decode(v&^pm) % 12
	if v&pm != 0 {
		h += 12
	}
	return h
}
