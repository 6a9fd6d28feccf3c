package i8042

import (
	"github.com/sharevm/vmm/vmm/state"
)

// Commands of the mouse, beside those of ps2.go.
const (
	mouseScale1     = 0xE6
	mouseScale2     = 0xE7
	mouseResolution = 0xE8
	mouseStatus     = 0xE9
	mouseStream     = 0xEA
	mouseRead       = 0xEB
	mouseUnwrap     = 0xEC
	mouseWrap       = 0xEE
	mouseRemote     = 0xF0
)

// Identities of the mouse, which the guest changes by the sample rates that it sets.
const (
	mousePlain    = 0
	mouseWheel    = 3
	mouseExplorer = 4 // wheel and five buttons
)

const (
	mouseRateDefault       = 100
	mouseResolutionDefault = 2 // 4 counts a millimetre

	packetAlways = 1 << 3
	packetMinusX = 1 << 4
	packetMinusY = 1 << 5
	packetMax    = 255 // what a packet moves at most; the rest follows in the next
	wheelMax     = 7
	moveMax      = 1 << 15 // what is kept for a guest that does not read
	fewPackets   = 8       // bytes in the queue from which movements are joined

	buttonBits = 0x1F // left, right, middle, side, extra
)

// mouse is an IntelliMouse Explorer. The controller's lock guards it.
type mouse struct {
	ps2
	id         uint8
	rate       uint8
	resolution uint8
	doubled    bool // scaling 2:1
	remote     bool // packets on demand only
	wrapped    bool // sends back what it gets
	rates      [3]uint8

	x, y, z int   // movement that no packet has told yet: right, up and towards the user
	buttons uint8 // as the user holds them
	told    uint8 // as the last packet had them
}

// move adds to the movement; y points up, z towards the user.
func (m *mouse) move(x, y, z int) {
	clamp := func(v, by int) int { return max(-moveMax, min(moveMax, v+max(-moveMax, min(moveMax, by)))) }
	m.x, m.y, m.z = clamp(m.x, x), clamp(m.y, y), clamp(m.z, z)
}

// streams says whether the mouse sends packets of its own accord.
func (m *mouse) streams() bool { return m.enabled && !m.remote && !m.wrapped }

// fresh says whether there is something to tell.
func (m *mouse) fresh() bool {
	return m.x|m.y != 0 || m.z != 0 && m.id != mousePlain || (m.buttons^m.told)&m.buttonsOfID() != 0
}

func (m *mouse) buttonsOfID() uint8 {
	if m.id == mouseExplorer {
		return buttonBits
	}
	return 7
}

// send queues packets. Movements wait while the guest has not read the last ones; a button waits only where there is no room.
func (m *mouse) send() {
	for m.streams() && m.fresh() && m.events.room() >= 4 && (m.events.n < fewPackets || (m.buttons^m.told)&m.buttonsOfID() != 0) {
		var b [4]uint8
		m.events.push(m.packet(b[:0])...)
	}
	if !m.streams() {
		m.x, m.y, m.z = 0, 0, 0
	}
}

// packet appends the next packet to b.
func (m *mouse) packet(b []uint8) []uint8 {
	clamp := func(v, most int) int { return max(-most, min(most, v)) }
	x, y := clamp(m.x, packetMax), clamp(m.y, packetMax)
	m.x -= x
	m.y -= y
	first := packetAlways | m.buttons&7
	if x < 0 {
		first |= packetMinusX
	}
	if y < 0 {
		first |= packetMinusY
	}
	b = append(b, first, uint8(x), uint8(y))
	z := clamp(m.z, wheelMax)
	m.z -= z
	m.told = m.buttons
	switch m.id {
	case mouseWheel:
		b = append(b, uint8(z))
	case mouseExplorer:
		b = append(b, uint8(z)&0xF|m.buttons>>3<<4)
	}
	return b
}

// defaults is what power-on, a reset and a command of its own choose.
func (m *mouse) defaults() {
	m.rate, m.resolution = mouseRateDefault, mouseResolutionDefault
	m.doubled, m.remote, m.wrapped, m.enabled = false, false, false, false
	m.quiet()
}

func (m *mouse) quiet() {
	m.events.clear()
	m.x, m.y, m.z = 0, 0, 0
	m.told = 0
}

// write takes a byte from the controller.
func (m *mouse) write(v uint8) {
	if m.wrapped && v != mouseUnwrap && v != devReset {
		m.answer(v)
		return
	}
	command := m.param
	m.param = 0
	if command != 0 {
		m.parameter(command, v)
		return
	}
	switch v {
	case mouseScale1, mouseScale2:
		m.doubled = v == mouseScale2
	case mouseResolution, devRate:
		m.param = v
	case mouseStatus:
		m.answer(ack, m.status(), m.resolution, m.rate)
		return
	case mouseStream:
		m.remote = false
	case mouseRead:
		var b [4]uint8
		m.answer(append([]uint8{ack}, m.packet(b[:0])...)...)
		return
	case mouseUnwrap, mouseWrap:
		m.wrapped = v == mouseWrap
	case mouseRemote:
		m.remote = true
		m.quiet()
	case devIdentify:
		m.answer(ack, m.id)
		return
	case devEnable:
		m.quiet()
		m.enabled = true
	case devDisable:
		m.enabled = false
		m.quiet()
	case devDefaults:
		m.defaults()
	case devResend:
		m.answer(m.last)
		return
	case devReset:
		m.defaults()
		m.replies.clear()
		m.id, m.rates = mousePlain, [3]uint8{}
		m.answer(ack, selfGood, m.id)
		return
	default:
		m.answer(resend)
		return
	}
	m.answer(ack)
}

// parameter takes the byte after a command.
func (m *mouse) parameter(command, v uint8) {
	switch {
	case command == mouseResolution && v > 3:
		m.answer(failed)
		return
	case command == mouseResolution:
		m.resolution = v
	default:
		m.rate = v
		m.rates = [3]uint8{m.rates[1], m.rates[2], v}
		switch {
		case m.rates == [3]uint8{200, 100, 80} && m.id == mousePlain:
			m.id = mouseWheel
		case m.rates == [3]uint8{200, 200, 80} && m.id == mouseWheel:
			m.id = mouseExplorer
		}
	}
	m.answer(ack)
}

// status is the first byte of the status report.
func (m *mouse) status() uint8 {
	v := m.buttons&1<<2 | m.buttons&4>>1 | m.buttons&2>>1 // here the left button is the highest
	for bit, on := range map[uint8]bool{1 << 4: m.doubled, 1 << 5: m.enabled, 1 << 6: m.remote} {
		if on {
			v |= bit
		}
	}
	return v
}

func (m *mouse) save(w *state.Writer) {
	m.ps2.save(w)
	for _, v := range []uint8{m.id, m.rate, m.resolution, m.told, m.rates[0], m.rates[1], m.rates[2]} {
		w.U8(v)
	}
	for _, v := range []bool{m.doubled, m.remote, m.wrapped} {
		w.Bool(v)
	}
}

func (m *mouse) restore(r *state.Reader) {
	m.ps2.restore(r)
	m.id, m.rate, m.resolution, m.told = r.U8(), r.U8(), r.U8(), r.U8()
	m.rates = [3]uint8{r.U8(), r.U8(), r.U8()}
	m.doubled, m.remote, m.wrapped = r.Bool(), r.Bool(), r.Bool()
	if r.Err() == nil && (m.id != mousePlain && m.id != mouseWheel && m.id != mouseExplorer || m.resolution > 3 || m.told&^buttonBits != 0) {
		r.Fail("i8042: a mouse with ID %d, resolution %d, buttons %#x", m.id, m.resolution, m.told)
	}
	m.x, m.y, m.z, m.buttons = 0, 0, 0, 0
}
