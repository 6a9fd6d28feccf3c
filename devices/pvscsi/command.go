package pvscsi

import (
	"github.com/sharevm/vmm/devices/scsi"
	"github.com/sharevm/vmm/internal/guard"
)

// Commands of the command register.
const (
	cmdNone         = 0
	cmdAdapterReset = 1
	cmdSetupRings   = 3
	cmdResetBus     = 4
	cmdResetDevice  = 5
	cmdAbort        = 6
	cmdConfig       = 7
	cmdSetupMessage = 8
	lastCommand     = cmdSetupMessage
)

// words is how many words of data each command takes, -1 for one that does not exist.
var words = [...]int{cmdNone: -1, cmdAdapterReset: 0, 2: -1, cmdSetupRings: 132, cmdResetBus: 0, cmdResetDevice: 3, cmdAbort: 4, cmdConfig: 6, cmdSetupMessage: 34}

const (
	maxWords   = 132
	failed     = 1<<32 - 1
	maxAborts  = 64
	pageSize   = 4096
	pageShift  = 12
	maxRing    = 32 // pages
	maxMessage = 16
)

// command is the command that the driver is storing, word by word.
type command struct {
	code   uint32
	have   int // words of data so far
	data   [maxWords * 4]byte
	result uint32 // of the last one
}

// begin takes a store to the command register. d.mu is held; it may be given back in between.
func (d *Device) begin(code uint32) {
	c := &d.command
	if code > lastCommand || words[code] < 0 {
		c.code, c.have, c.result = cmdNone, 0, failed
		return
	}
	c.code, c.have, c.result = code, 0, uint32(words[code])
	if words[code] == 0 {
		c.code, c.result = cmdNone, 0
		d.reset(code)
	}
}

// data takes a word of the command's data, and carries out the command with the last one.
func (d *Device) data(v uint32) {
	c := &d.command
	if c.code == cmdNone {
		return
	}
	le.PutUint32(c.data[c.have*4:], v)
	if c.have++; c.have < words[c.code] {
		return
	}
	code := c.code
	c.code, c.result = cmdNone, 0
	ok := true
	switch code {
	case cmdSetupRings:
		ok = d.setup(c.data[:])
	case cmdSetupMessage:
		ok = d.setupMessages(c.data[:])
	case cmdResetDevice:
		if id := le.Uint32(c.data[:]); id < MaxTargets && d.engine.Present(int(id)) {
			d.fetch()
			d.takeBack(func() { d.engine.Reset(func(at int) bool { return at == int(id) }, scsi.DeviceReset) })
		}
	case cmdAbort:
		ok = d.abort(le.Uint64(c.data[0:]), le.Uint32(c.data[8:]))
	case cmdConfig:
		ok = d.config(le.Uint64(c.data[0:]), le.Uint64(c.data[8:]), le.Uint32(c.data[16:]))
	}
	if !ok {
		c.result = failed
	}
}

// takeBack calls take without the lock. The driver counts on the outcomes being in the ring afterwards.
func (d *Device) takeBack(take func()) {
	d.mu.Unlock()
	defer d.mu.Lock()
	take()
}

// reset serves the resets of bus and adapter. What the request ring holds by now is subject to them; after that of the adapter the rings are
// no longer touched.
func (d *Device) reset(code uint32) {
	if code == cmdResetBus {
		d.fetch()
		d.takeBack(func() { d.engine.Reset(nil, scsi.BusReset) })
		return
	}
	d.epoch++
	d.rings = rings{}
	d.flying, d.aborting, d.starved = 0, 0, false
	d.takeBack(func() { d.engine.Reset(nil, scsi.NoAttention) }) // each driver begins with this reset: nothing to warn its users of
	d.status, d.mask = 0, 0
	d.pin()
}

// abort takes back the command with a context, behind the back of the driver, which waits for its completion.
func (d *Device) abort(context uint64, id uint32) bool {
	d.fetch()
	if d.aborting >= maxAborts {
		return false
	}
	d.aborting++
	epoch := d.epoch
	d.tasks.Go(func() {
		defer guard.Panic(d.log, "SCSI abort")
		defer func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.epoch == epoch {
				d.aborting--
			}
		}()
		d.engine.Abort(func(at int, c *scsi.Command) bool {
			r := c.Owner.(*request)
			if at != int(id) || r.context != context {
				return false
			}
			r.aborted = true
			return true
		})
	})
	return true
}

// Layout of the configuration page about the controller.
const (
	pageController    = 0x1958
	addressController = 0x2120
	configSize        = 16 + 8 + 2*(64+64+32+32+32) + 8
	configPhys        = configSize - 8
)

// config stores the configuration page about the controller, the only one, in the guest's memory.
func (d *Device) config(to, address uint64, number uint32) bool {
	var p [configSize]byte
	const invalid, check = 0x1a, 2
	le.PutUint32(p[0:], number)
	if number != pageController || address>>32 != addressController {
		le.PutUint16(p[6:], invalid)
		le.PutUint16(p[8:], check)
		return d.mem.Write(to, p[:16]) == nil
	}
	le.PutUint16(p[4:], configSize/4)
	le.PutUint64(p[16:], 0x5005056000000000)
	at := 24
	for _, s := range []struct {
		text string
		size int
	}{{"VMware", 64}, {d.name, 64}, {"", 32}, {"2", 32}, {"2", 32}} {
		for i := range min(len(s.text), s.size-1) {
			p[at+2*i] = s.text[i]
		}
		at += 2 * s.size
	}
	le.PutUint32(p[configPhys:], uint32(d.targets))
	return d.mem.Write(to, p[:]) == nil
}
