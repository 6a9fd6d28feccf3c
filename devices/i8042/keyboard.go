package i8042

import (
	"time"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/vmm/state"
)

// Commands of the keyboard, beside those of package ps2.go.
const (
	kbdLEDs       = 0xED
	kbdEcho       = 0xEE
	kbdScanSet    = 0xF0
	kbdAllFirst   = 0xF7 // to 0xFA: what all keys of set 3 do
	kbdAllLast    = 0xFA
	kbdSomeFirst  = 0xFB // to 0xFD: what some keys of set 3 do; a list of codes follows
	kbdSomeLast   = 0xFD
	kbdID1        = 0xAB
	kbdID2        = 0x83
	ledBits       = 7
	rateBits      = 0x7F
	rateDefault   = 0x2B // 10.9 a second after half a second
	scanSetNormal = 2
)

// keys is a set of keys by their event codes.
type keys [(keyMax + 1) / 8]uint8

func (k *keys) has(code uint16) bool { return k[code/8]>>(code%8)&1 != 0 }

func (k *keys) set(code uint16, down bool) {
	if down {
		k[code/8] |= 1 << (code % 8)
	} else {
		k[code/8] &^= 1 << (code % 8)
	}
}

// keyboard is a 102-key keyboard with the keys that later ones brought. The controller's lock guards it.
type keyboard struct {
	ps2
	set    uint8 // scan code set, 1 to 3
	rate   uint8 // typematic rate and delay
	leds   uint8
	held   keys   // by the user
	told   keys   // of those that the guest has heard of
	behind bool   // the two differ because there was no room
	repeat uint16 // the key that repeats, or 0
	timer  clock.Timer

	burst   int       // bytes shown without a rest
	shownAt time.Time // the last of these
	rest    clock.Timer
}

const (
	// maxBurst is how many bytes a guest may read of the controller before it has to be empty for a moment: Linux takes one for broken that has more when its driver starts (i8042_flush),
	// and does without a keyboard from then on. A real keyboard's wire takes a millisecond for each byte.
	maxBurst = 16
	// restTime is longer than a guest that is seldom run takes to see that.
	restTime = 50 * time.Millisecond
)

// rests says whether the keyboard has to wait with its next byte, and sees to it that the controller asks again.
func (k *keyboard) rests(now time.Time) bool {
	since := now.Sub(k.shownAt)
	if since >= restTime {
		k.burst = 0
	}
	if k.burst < maxBurst || k.replies.n > 0 {
		return false
	}
	k.rest.Reset(restTime - since)
	return true
}

// shown counts a byte that the guest gets.
func (k *keyboard) shown(now time.Time) { k.burst, k.shownAt = k.burst+1, now }

// key takes a key from the user. Events of a key that is as it was are repeats of the host's, which the keyboard makes itself.
func (k *keyboard) key(code uint16, down bool) {
	if code == 0 || code > keyMax || k.held.has(code) == down {
		return
	}
	k.held.set(code, down)
	if k.enabled && !k.behind { // else in turn with the others, once there is room
		k.tell(code, down)
	}
}

// tell queues a press or a release for the guest.
func (k *keyboard) tell(code uint16, down bool) {
	if k.told.has(code) == down {
		return // a release of a key that was pressed before the guest listened
	}
	if !k.emit(code, down) {
		k.behind = true
		return
	}
	k.told.set(code, down)
	switch {
	case down && code != keyPause:
		k.repeat = code
		k.schedule(k.delay())
	case code == k.repeat:
		k.repeat = 0
	}
}

// emit queues what a key sends, and says whether it fits.
func (k *keyboard) emit(code uint16, down bool) bool {
	var b [maxSequence]uint8
	ctrl := k.told.has(keyLeftCtrl) || k.told.has(keyRightCtrl)
	shift := k.told.has(keyLeftShift) || k.told.has(keyRightShift)
	alt := k.told.has(keyLeftAlt) || k.told.has(keyRightAlt)
	return k.events.push(sequence(b[:0], k.set, code, down, ctrl, shift, alt)...)
}

// catchUp tells what there was no room for: releases first.
func (k *keyboard) catchUp() {
	if !k.behind || k.events.n > 0 {
		return
	}
	k.behind = false
	for _, down := range []bool{false, true} {
		for code := uint16(1); code <= keyMax && !k.behind; code++ {
			if k.held.has(code) == down && k.told.has(code) != down {
				k.tell(code, down)
			}
		}
	}
}

// delay is how long a key is held before it repeats.
func (k *keyboard) delay() time.Duration {
	return time.Duration(k.rate>>5&3+1) * 250 * time.Millisecond
}

// period is the time between repeats: (8 + A) * 2^B / 240 seconds.
func (k *keyboard) period() time.Duration {
	return time.Duration(8+int(k.rate&7)) << (k.rate >> 3 & 3) * time.Second / 240
}

func (k *keyboard) schedule(d time.Duration) {
	if k.timer != nil && k.repeat != 0 {
		k.timer.Reset(d)
	}
}

// expired repeats the key that is held. A guest that has not read the last one gets no more.
func (k *keyboard) expired() {
	if k.repeat == 0 || !k.enabled {
		return
	}
	if k.events.n == 0 {
		k.emit(k.repeat, true)
	}
	k.schedule(k.period())
}

// defaults is what power-on, a reset and a command of its own choose.
func (k *keyboard) defaults() {
	k.set, k.rate = scanSetNormal, rateDefault
	k.quiet()
}

// quiet forgets what was on its way.
func (k *keyboard) quiet() {
	k.events.clear()
	k.told = keys{}
	k.behind, k.repeat = false, 0
}

// write takes a byte from the controller.
func (k *keyboard) write(v uint8) {
	command := k.param
	k.param = 0
	if command != 0 && v < kbdLEDs { // a command does not wait for the parameter of another
		k.parameter(command, v)
		return
	}
	switch {
	case v == kbdEcho:
		k.answer(kbdEcho)
	case v == kbdLEDs, v == kbdScanSet, v == devRate, v >= kbdSomeFirst && v <= kbdSomeLast:
		k.param = v
		k.answer(ack)
	case v == devIdentify:
		k.answer(ack, kbdID1, kbdID2)
	case v == devEnable:
		k.quiet()
		k.enabled = true
		k.answer(ack)
	case v == devDisable, v == devDefaults:
		k.defaults()
		k.enabled = v == devDefaults
		k.answer(ack)
	case v >= kbdAllFirst && v <= kbdAllLast:
		k.answer(ack)
	case v == devResend:
		k.answer(k.last)
	case v == devReset:
		k.defaults()
		k.replies.clear()
		k.leds, k.enabled = 0, true
		k.answer(ack, selfGood)
	default:
		k.answer(resend)
	}
}

// parameter takes the byte after a command.
func (k *keyboard) parameter(command, v uint8) {
	switch {
	case command == kbdLEDs:
		k.leds = v & ledBits
		k.answer(ack)
	case command == devRate:
		k.rate = v & rateBits
		k.answer(ack)
	case command == kbdScanSet && v == 0:
		k.answer(ack, k.set)
	case command == kbdScanSet && v <= 3:
		k.quiet()
		k.set = v
		k.answer(ack)
	case command >= kbdSomeFirst: // the list goes on until the next command
		k.param = command
		k.answer(ack)
	default:
		k.answer(resend)
	}
}

func (k *keyboard) save(w *state.Writer) {
	k.ps2.save(w)
	w.U8(k.set)
	w.U8(k.rate)
	w.U8(k.leds)
	w.Bytes(k.told[:])
	w.U16(k.repeat)
}

func (k *keyboard) restore(r *state.Reader) {
	k.ps2.restore(r)
	k.set, k.rate, k.leds = r.U8(), r.U8(), r.U8()
	told := r.Bytes(len(k.told))
	k.repeat = r.U16()
	if r.Err() == nil && (k.set < 1 || k.set > 3 || k.rate&^rateBits != 0 || k.leds&^ledBits != 0 || len(told) != len(k.told) || k.repeat > keyMax) {
		r.Fail("i8042: a keyboard with scan code set %d, rate %#x, LEDs %#x, key %d", k.set, k.rate, k.leds, k.repeat)
	}
	copy(k.told[:], told)
	// Nobody holds a key of another process: what the guest believes is put right.
	k.held, k.behind = keys{}, k.told != keys{}
}
