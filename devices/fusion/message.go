package fusion

import (
	"fmt"

	"github.com/sharevm/vmm/devices/scsi"
)

// message is a request frame, copied once; what the driver did not send is zero.
type message struct{ data [frameSize]byte }

func (m *message) function() uint8 { return m.data[3] }
func (m *message) context() uint32 { return le.Uint32(m.data[8:]) }

// reply starts a reply of so many bytes to m.
func (m *message) reply(size int, status uint16) []byte {
	p := make([]byte, size)
	p[2], p[3], p[7] = uint8(size/4), m.data[3], m.data[7]
	copy(p[8:12], m.data[8:12])
	le.PutUint16(p[14:], status)
	return p
}

// defaultReply is the length in bytes of a reply that says nothing but a status.
const defaultReply = 20

// answer carries out a request that needs no device and returns its reply. d.mu is held.
func (d *Device) answer(m *message) []byte {
	switch m.function() {
	case fnIOCInit:
		return d.initialise(m)
	case fnIOCFacts:
		return d.facts(m)
	case fnPortFacts:
		return d.portFacts(m)
	case fnPortEnable:
		p := m.reply(defaultReply, iocSuccess)
		p[6] = m.data[6]
		if m.data[6] != 0 {
			le.PutUint16(p[14:], iocInvalidField)
		}
		return p
	case fnConfig:
		return d.config(m)
	case fnEventNotification:
		return d.notify(m)
	case fnEventAck, fnSASControl:
		return m.reply(defaultReply, iocSuccess)
	}
	return m.reply(defaultReply, iocInvalidFunction)
}

// initialise serves IOCInit.
func (d *Device) initialise(m *message) []byte {
	r := &d.registers
	status := uint16(iocSuccess)
	if r.state != stateReady {
		status = iocInvalidState
	} else {
		r.who = m.data[0] & 7
		r.devices, r.buses = m.data[5], m.data[6]
		r.replySize = le.Uint16(m.data[0xc:]) // SeaBIOS has room for 4 bytes only: it wants to know no more than that there was a failure
		r.frameHigh, r.senseHigh = le.Uint32(m.data[0x10:]), le.Uint32(m.data[0x14:])
		r.state = stateOperational
	}
	p := m.reply(defaultReply, status)
	p[0], p[4], p[5], p[6] = m.data[0], m.data[4], m.data[5], m.data[6]
	return p
}

// facts serves IOCFacts.
func (d *Device) facts(m *message) []byte {
	const size12, size15, blockSize = 60, 80, 8
	r := &d.registers
	size := size15
	if d.traits.version < 0x0105 {
		size = size12
	}
	p := m.reply(size, iocSuccess)
	p[7] = 0
	le.PutUint16(p[0x00:], d.traits.version)
	p[0x14], p[0x15], p[0x16] = chainDepth, r.who, blockSize
	le.PutUint16(p[0x18:], replyDepth/2)
	le.PutUint16(p[0x1a:], frameSize/4)
	le.PutUint16(p[0x1e:], d.traits.product)
	le.PutUint32(p[0x20:], r.frameHigh)
	le.PutUint16(p[0x24:], credits)
	p[0x26] = 1 // ports
	if r.events {
		p[0x27] = 1
	}
	le.PutUint32(p[0x28:], r.senseHigh)
	le.PutUint16(p[0x2c:], r.replySize)
	p[0x2e], p[0x2f] = r.devices, r.buses
	le.PutUint32(p[0x34:], d.traits.capabilities)
	le.PutUint32(p[0x38:], versionWord)
	if size == size15 {
		le.PutUint16(p[0x3c:], maxTasks)
	}
	return p
}

// portFacts serves PortFacts.
func (d *Device) portFacts(m *message) []byte {
	p := m.reply(40, iocSuccess)
	if p[6] = m.data[6]; p[6] != 0 {
		le.PutUint16(p[14:], iocInvalidField)
		return p
	}
	p[0x15] = d.traits.portType
	le.PutUint16(p[0x16:], maxTargets)
	id := uint16(hostTarget)
	if d.model == SAS1068 {
		id = maxTargets
		le.PutUint16(p[0x1e:], maxTargets) // persistent IDs
	}
	le.PutUint16(p[0x18:], id)
	le.PutUint16(p[0x1a:], 8) // an initiator
	return p
}

// notify serves EventNotification; the reply is itself the event that the switch was turned. No others occur: nothing is plugged in or out.
func (d *Device) notify(m *message) []byte {
	d.registers.events = m.data[0] != 0
	p := m.reply(32, iocSuccess)
	p[0] = 1 // words of data
	le.PutUint32(p[0x14:], eventChange)
	p[0x1c] = m.data[0] & 1
	return p
}

// post takes the address of a request frame. d.mu is held.
func (d *Device) post(address uint32) {
	r := &d.registers
	if r.state != stateOperational {
		return
	}
	if d.paused {
		if !r.requests.push(address) {
			d.fail(iocNoResources, nil)
		}
		return
	}
	if d.flying+len(r.post.entries) >= replyDepth {
		d.fail(iocNoResources, fmt.Errorf("more than %d requests", replyDepth))
		return
	}
	frame, err := d.mem.Slice(uint64(r.frameHigh)<<32|uint64(address&^3), frameSize)
	if err != nil {
		d.fail(faultRequestBus, err)
		return
	}
	var m message
	copy(m.data[:], frame)
	switch m.function() {
	case fnSCSIIO:
		d.command(&m)
	case fnTaskManagement:
		d.manage(&m)
	default:
		d.respond(d.answer(&m))
	}
}

// respond sends a reply in one of the guest's reply frames.
func (d *Device) respond(reply []byte) {
	r := &d.registers
	low, ok := r.free.pop()
	if !ok {
		d.fail(iocNoResources, fmt.Errorf("no reply frame is free"))
		return
	}
	reply = reply[:min(len(reply), int(r.replySize))]
	if err := d.mem.Write(uint64(r.frameHigh)<<32|uint64(low), reply); err != nil {
		d.fail(faultReplyBus, err)
		return
	}
	d.send(low>>1 | 1<<31)
}

// send puts an entry into the reply FIFO.
func (d *Device) send(entry uint32) {
	if !d.registers.post.push(entry) {
		d.fail(iocNoResources, fmt.Errorf("the reply FIFO is full"))
	}
	d.interrupt()
}

// manage starts task management, which ends once the commands that it is about have.
func (d *Device) manage(m *message) {
	if d.managing >= maxTasks {
		p := taskReply(m)
		le.PutUint16(p[14:], iocNoResources)
		d.respond(p)
		return
	}
	d.managing++
	d.flying++
	frame, epoch := *m, d.epoch
	d.tasks.Go(func() { d.task(&frame, epoch) })
}

// taskReply starts the reply to task management.
func taskReply(m *message) []byte {
	p := m.reply(24, iocSuccess)
	p[0], p[1], p[5] = m.data[0], m.data[1], m.data[5]
	return p
}

// task carries out task management and replies.
func (d *Device) task(m *message, epoch uint64) {
	p := taskReply(m)
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.epoch != epoch {
			return
		}
		d.flying--
		d.managing--
		d.respond(p)
	}()
	id, bus := int(m.data[0]), m.data[1]
	lun := scsi.LUN(m.data[offLUN:])
	p[4] = taskComplete
	kind := m.data[5]
	if kind != taskBusReset && (bus != 0 || !d.engine.Present(id)) {
		status := uint16(iocNoDevice)
		if bus != 0 {
			status = iocInvalidBus
		}
		le.PutUint16(p[14:], status)
		return
	}
	if lun != 0 && (kind == taskAbortSet || kind == taskClearSet || kind == taskUnitReset) {
		p[4] = taskBadLUN
		return
	}
	count := 0
	switch target := func(at int, _ *scsi.Command) bool { return at == id }; kind {
	case taskAbort:
		context := le.Uint32(m.data[0x30:])
		count = d.engine.Abort(func(at int, c *scsi.Command) bool { return at == id && c.Owner.(*request).context == context })
	case taskAbortSet, taskClearSet:
		count = d.engine.Abort(target)
	case taskTargetReset, taskUnitReset:
		d.engine.Reset(func(at int) bool { return at == id }, scsi.DeviceReset)
	case taskBusReset:
		d.engine.Reset(nil, scsi.BusReset)
	case taskQuery:
		p[4] = taskSucceeded
	default:
		p[4] = taskUnsupported
	}
	le.PutUint32(p[0x14:], uint32(count))
}
