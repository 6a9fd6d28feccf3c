package hda

import (
	"encoding/binary"
	"time"

	"github.com/sharevm/vmm/internal/guard"
)

// stream is what a stream descriptor does not show of its work.
type stream struct {
	active bool          // it moves: it is an output, it runs, and nothing holds it
	start  time.Duration // when it began, or would have for what has moved
	moved  uint64        // bytes since then
	entry  uint8         // of the list of buffers
	loaded bool          // what follows is a copy of the entry
	addr   uint64
	size   uint32 // bytes
	done   uint32 // of them have moved; less than size
	ioc    bool   // interrupt at the end
}

const (
	bdlEntry = 16
	// lag is how far behind its time a stream may be and still catch up. One that is farther behind is late from then on.
	lag = 200 * time.Millisecond
	// maxEntries bounds the buffers that one step moves through, which a list of tiny ones could make many.
	maxEntries = 512
	// Positions are kept up to date every refresh while something plays; steps are pause apart or more.
	refresh = 4 * time.Millisecond
	pause   = 500 * time.Microsecond
)

// resetStream brings a stream descriptor back to its first state, but for its reset bit (section 3.3.35).
func (d *Device) resetStream(n int) {
	d.player.release(n)
	at := regStreams + n*streamStride
	reset := d.regs[at+sdCTL] & ctlReset
	clear(d.regs[at : at+streamStride])
	d.regs[at+sdCTL] = reset
	d.set16(at+sdFIFOS, fifoBytes-1)
	d.streams[n] = stream{}
}

// control follows a write to a stream's control register.
func (d *Device) control(n int) {
	at := regStreams + n*streamStride
	if d.regs[at+sdCTL]&ctlReset != 0 {
		d.resetStream(n)
		return
	}
	if d.regs[at+sdCTL]&ctlRun == 0 {
		d.regs[at+sdSTS] &^= stsReady
		d.streams[n].active = false
		d.player.release(n)
	} else {
		d.regs[at+sdSTS] |= stsReady
	}
}

// advance moves all streams up to now. d.mu is held.
func (d *Device) advance() {
	if d.resumed.IsZero() {
		return
	}
	now := d.running()
	held := d.get32(regSSYNC)
	moved := false
	for i := inputs; i < streams; i++ {
		s, at := &d.streams[i], regStreams+i*streamStride
		if s.active {
			d.catchUp(i, now)
			moved = true
		}
		active := d.regs[at+sdCTL]&ctlRun != 0 && held>>i&1 == 0
		if active && !s.active {
			s.start, s.moved = now, 0
		}
		s.active = active
	}
	if moved {
		d.reportPositions()
		d.interrupt()
	}
}

// catchUp moves a stream up to now.
func (d *Device) catchUp(n int, now time.Duration) {
	s, at := &d.streams[n], regStreams+n*streamStride
	format := d.get16(at + sdFMT)
	rate, frame := uint64(rateOf(format)), uint64(frameOf(format))
	elapsed := max(now-s.start, 0)
	if seconds := elapsed / time.Second; seconds > 0 && s.moved >= uint64(seconds)*rate*frame {
		s.start += seconds * time.Second
		s.moved -= uint64(seconds) * rate * frame
		elapsed -= seconds * time.Second
	}
	behind := func(t time.Duration) uint64 { return uint64(t) * rate / uint64(time.Second) * frame }
	due := behind(min(elapsed, 1000*time.Second))
	if due > s.moved {
		d.transfer(n, min(due-s.moved, behind(lag)))
	}
	if s.moved < due { // the rest comes later
		s.start, s.moved = now, 0
	}
}

// transfer moves at most count bytes.
func (d *Device) transfer(n int, count uint64) {
	s, at := &d.streams[n], regStreams+n*streamStride
	tag, format := d.regs[at+sdCTL+2]>>(ctlTag-16), d.get16(at+sdFMT)
	for range maxEntries {
		if count == 0 {
			return
		}
		cyclic, position := d.get32(at+sdCBL), d.get32(at+sdLPIB)
		if position >= cyclic {
			position = 0
		}
		if !s.loaded && !d.load(n) || cyclic == 0 {
			d.regs[at+sdSTS] = d.regs[at+sdSTS]&^stsReady | stsDesc
			d.regs[at+sdCTL] &^= ctlRun
			d.player.release(n)
			return
		}
		heard := d.codec.hears(tag, format) && d.player.begin(n, format)
		if !heard {
			d.player.release(n)
		}
		for count > 0 && s.done < s.size {
			piece := min(count, uint64(s.size-s.done), uint64(cyclic-position))
			if heard {
				piece = min(piece, uint64(len(d.player.room())))
				d.fetch(n, d.player.room()[:piece])
				d.player.play(int(piece), d.codec.amp)
			}
			count -= piece
			s.moved += piece
			s.done += uint32(piece)
			if position += uint32(piece); position >= cyclic {
				position = 0
			}
			d.set32(at+sdLPIB, position)
			if position == 0 {
				break // a small ring counts as an entry
			}
		}
		if s.done < s.size {
			continue
		}
		if s.ioc {
			d.regs[at+sdSTS] |= stsComplete
		}
		s.loaded, s.done = false, 0
		if s.entry >= d.regs[at+sdLVI] {
			s.entry = 0
		} else {
			s.entry++
		}
	}
}

// load copies a stream's next entry, and says whether there is one.
func (d *Device) load(n int) bool {
	s, at := &d.streams[n], regStreams+n*streamStride
	entry, err := d.mem.Slice(d.get64(at+sdBDP)+bdlEntry*uint64(s.entry), bdlEntry)
	if err != nil {
		d.log.Warn("a list of buffers is not in RAM", "device", d.name, "stream", n, "error", err)
		return false
	}
	le := binary.LittleEndian
	s.addr, s.size, s.ioc = le.Uint64(entry), le.Uint32(entry[8:]), le.Uint32(entry[12:])&1 != 0
	s.loaded, s.done = true, 0
	return true
}

// fetch reads a stream's next bytes. What is not in RAM is silent.
func (d *Device) fetch(n int, p []byte) {
	s := &d.streams[n]
	if err := d.mem.Read(s.addr+uint64(s.done), p); err != nil {
		clear(p)
		d.regs[regStreams+n*streamStride+sdSTS] |= stsFIFO
	}
}

// reportPositions writes where the streams are to the driver's buffer, if it has one (section 3.6.1).
func (d *Device) reportPositions() {
	base := d.get64(regDPBASE)
	if base&dpEnable == 0 {
		return
	}
	p, err := d.mem.Slice(base&^dpEnable, 8*streams)
	if err != nil {
		return
	}
	for i := inputs; i < streams; i++ {
		if at := regStreams + i*streamStride; d.regs[at+sdCTL]&ctlRun != 0 {
			binary.LittleEndian.PutUint32(p[8*i:], d.get32(at+sdLPIB))
		}
	}
}

// schedule sets the timer to when something is to be done next. d.mu is held.
func (d *Device) schedule() {
	if d.closed || d.resumed.IsZero() {
		return
	}
	d.advance()
	wait := time.Duration(0)
	now := d.running()
	for i := inputs; i < streams; i++ {
		s := &d.streams[i]
		if !s.active {
			continue
		}
		next := refresh
		if s.loaded && s.ioc {
			format := d.get16(regStreams + i*streamStride + sdFMT)
			frame := uint64(frameOf(format))
			frames := (s.moved + uint64(s.size-s.done) + frame - 1) / frame
			if frames < uint64(1)<<30 {
				at := s.start + time.Duration(frames*uint64(time.Second)/uint64(rateOf(format))) + 1
				next = min(max(at-now, pause), refresh)
			}
		}
		if wait == 0 || next < wait {
			wait = next
		}
	}
	if wait > 0 {
		d.timer.Reset(wait)
	}
}

// tick is the timer's.
func (d *Device) tick() {
	defer guard.Panic(d.log, d.name)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.schedule()
}
