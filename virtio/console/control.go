package console

import (
	"encoding/binary"
	"errors"

	"github.com/sharevm/vmm/virtio/queue"
)

// Events of control messages (virtio 1.2, section 5.3.6.2).
const (
	eventDeviceReady = 0
	eventDeviceAdd   = 1
	eventPortReady   = 3
	eventConsolePort = 4
	eventResize      = 5
	eventPortOpen    = 6
	eventPortName    = 7
)

// controlSize is the length of struct virtio_console_control.
const controlSize = 8

// The control messages that a port may have to send, in the order in which they go. They are a set, not a list, so that a driver
// which never takes them, or asks again and again, costs no memory.
const (
	postAdd = 1 << iota
	postConsole
	postName
	postSize
	postOpen
)

var errControlBuffer = errors.New("a buffer for control messages is too small")

// post notes messages to send. The caller holds dev.mu.
func (p *port) post(messages uint32) {
	p.posts |= messages
	if p.dev.doorbell != nil {
		p.dev.doorbell()
	}
}

// sendControl is the worker of the control receive queue.
func (d *Device) sendControl(q *queue.Queue) error {
	var c queue.Chain
	for !d.workers.Stopping() {
		q.DisableNotifications()
		if d.posted() {
			ok, err := q.Pop(&c)
			if err != nil {
				return err
			}
			if ok {
				var buf [controlSize + maxName]byte
				message := d.nextMessage(buf[:0])
				if c.WriteLen < uint64(len(message)) {
					return errControlBuffer
				}
				q.Push(c.Head, uint32(c.CopyOut(message)))
				q.Publish()
				continue
			}
			if q.EnableNotifications() {
				continue
			}
		}
		if err := q.Kick.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// posted says whether a control message is to be sent.
func (d *Device) posted() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.ports {
		if p.posts != 0 {
			return true
		}
	}
	return false
}

// nextMessage appends the next control message to buf and takes it off the list, which is not empty.
func (d *Device) nextMessage(buf []byte) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := 0
	for d.ports[i].posts == 0 {
		i++
	}
	p := d.ports[i]
	message := p.posts & -p.posts
	p.posts &^= message
	head := func(event, value uint16) []byte {
		buf = binary.LittleEndian.AppendUint32(buf, uint32(p.index))
		buf = binary.LittleEndian.AppendUint16(buf, event)
		return binary.LittleEndian.AppendUint16(buf, value)
	}
	switch message {
	case postAdd:
		p.added = true
		return head(eventDeviceAdd, 0)
	case postConsole:
		return head(eventConsolePort, 1)
	case postName:
		return append(head(eventPortName, 1), p.name...)
	case postSize:
		size := binary.LittleEndian.AppendUint16(head(eventResize, 0), d.columns)
		return binary.LittleEndian.AppendUint16(size, d.rows)
	default: // postOpen
		open := uint16(0)
		if p.hostOpen {
			open = 1
		}
		return head(eventPortOpen, open)
	}
}

// receiveControl is the worker of the control transmit queue. Messages that make no sense are ignored.
func (d *Device) receiveControl(q *queue.Queue) error {
	defer q.Publish()
	for !d.workers.Stopping() {
		ok, err := q.Pop(&d.message)
		if err != nil || !ok {
			return err
		}
		var m [controlSize]byte
		if d.message.CopyIn(m[:]) == controlSize {
			d.heed(binary.LittleEndian.Uint32(m[0:]), binary.LittleEndian.Uint16(m[4:]), binary.LittleEndian.Uint16(m[6:]))
		}
		q.Push(d.message.Head, 0)
	}
	return nil
}

// heed acts on one message of the driver.
func (d *Device) heed(id uint32, event, value uint16) {
	if event == eventDeviceReady {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, p := range d.ports {
			if value == 1 && !p.added {
				p.post(postAdd)
			}
		}
		return
	}
	if id >= uint32(len(d.ports)) {
		return
	}
	p := d.ports[id]
	switch event {
	case eventPortReady:
		d.mu.Lock()
		defer d.mu.Unlock()
		was := p.ready
		p.ready = p.added && value == 1
		if p.ready && !was {
			p.post(p.introduction())
		}
	case eventPortOpen:
		p.setGuestOpen(value != 0)
		p.in.poke()
	}
}

// introduction is what a driver that has taken a port into use is told of it. The caller holds dev.mu.
func (p *port) introduction() uint32 {
	var messages uint32
	if p.console {
		messages |= postConsole | postSize
	}
	if p.name != "" {
		messages |= postName
	}
	if p.hostOpen {
		messages |= postOpen
	}
	return messages
}

// setGuestOpen notes whether somebody in the guest listens to the port, and tells the port's owner of a change.
func (p *port) setGuestOpen(open bool) {
	p.dev.mu.Lock()
	changed := p.guestOpen != open
	p.guestOpen = open
	p.dev.mu.Unlock()
	if !changed || p.opened == nil {
		return
	}
	if !open {
		p.in.drop()
	}
	p.opened(open)
}

// reset forgets what the driver said and was told.
func (p *port) reset() {
	p.setGuestOpen(false)
	p.dev.mu.Lock()
	defer p.dev.mu.Unlock()
	p.added, p.ready, p.posts, p.outDone = false, false, 0, 0
}
