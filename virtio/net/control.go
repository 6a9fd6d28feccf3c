package net

import (
	"encoding/binary"
	"errors"

	"github.com/sharevm/vmm/virtio/queue"
)

// Classes and commands of the control queue (virtio 1.2, section 5.1.6.5).
const (
	classRX       = 0
	classMAC      = 1
	classAnnounce = 3
	classMQ       = 4
	classOffloads = 5

	commandPromiscuous  = 0 // of classRX
	commandAllMulticast = 1
	commandMACTable     = 0 // of classMAC
	commandMACAddress   = 1
	commandAnnounceAck  = 0 // of classAnnounce
	commandPairs        = 0 // of classMQ
	commandOffloads     = 0 // of classOffloads
)

// Values of the ack byte.
const (
	ackOK    = 0
	ackError = 1
)

var errNoAck = errors.New("a control command has no room for its answer")

// handleControl serves the control queue.
func (d *Device) handleControl(q *queue.Queue) error {
	defer q.Publish()
	for !d.control.Stopping() {
		ok, err := q.Pop(&d.command)
		if err != nil || !ok {
			return err
		}
		ack := [1]byte{ackError}
		if d.obey(&d.command) {
			ack[0] = ackOK
		}
		if d.command.CopyOut(ack[:]) == 0 {
			return errNoAck
		}
		q.Push(d.command.Head, uint32(len(ack)))
	}
	return nil
}

// obey carries out one command and says whether it could. What was not negotiated is refused, as is data of any other than
// the exact length.
func (d *Device) obey(c *queue.Chain) bool {
	var head [2]byte
	if c.CopyIn(head[:]) != len(head) {
		return false
	}
	a := d.active.Load()
	class, command := head[0], head[1]
	switch {
	case class == classRX && (command == commandPromiscuous || command == commandAllMulticast):
		// The card filters nothing, so there is nothing to switch.
		var on [1]byte
		return a.Has(featureCtrlRX) && exactly(c, on[:]) && on[0] <= 1
	case class == classMAC && command == commandMACTable:
		return a.Has(featureCtrlRX) && skipMACs(c) && skipMACs(c) && c.ReadLen == 0
	case class == classMAC && command == commandMACAddress:
		var mac [6]byte
		if !a.Has(featureCtrlMAC) || !exactly(c, mac[:]) {
			return false
		}
		d.mu.Lock()
		d.mac = mac
		d.mu.Unlock()
		return true
	case class == classAnnounce && command == commandAnnounceAck:
		if !a.Has(featureGuestAnnounce) {
			return false
		}
		d.mu.Lock()
		d.announce = false
		d.mu.Unlock()
		return true
	case class == classMQ && command == commandPairs:
		var n [2]byte
		return a.Has(featureMultiQueue) && exactly(c, n[:]) && d.usePairs(int(binary.LittleEndian.Uint16(n[:])))
	case class == classOffloads && command == commandOffloads:
		var o [8]byte
		return a.Has(featureCtrlGuestOffloads) && exactly(c, o[:]) && d.accept(binary.LittleEndian.Uint64(o[:]))
	}
	return false
}

// exactly fills p from the command and says whether that was all its data.
func exactly(c *queue.Chain, p []byte) bool { return c.CopyIn(p) == len(p) && c.ReadLen == 0 }

// skipMACs passes over one struct virtio_net_ctrl_mac and says whether it was complete.
func skipMACs(c *queue.Chain) bool {
	var count [4]byte
	if c.CopyIn(count[:]) != len(count) {
		return false
	}
	n := uint64(binary.LittleEndian.Uint32(count[:])) * 6
	if n > c.ReadLen {
		return false
	}
	var skip [96]byte
	for n > 0 {
		n -= uint64(c.CopyIn(skip[:min(n, uint64(len(skip)))]))
	}
	return true
}

// usePairs makes the first n pairs carry frames, and no others.
func (d *Device) usePairs(n int) bool {
	if n < 1 || n > len(d.pairs) {
		return false
	}
	for ; d.running > n; d.running-- {
		d.pairs[d.running-1].stop()
	}
	for ; d.running < n; d.running++ {
		d.pairs[d.running].start(d.active.Load())
	}
	return true
}

// accept changes what may be left to the guest in frames for it, to a set of features that it has negotiated.
func (d *Device) accept(features uint64) bool {
	if features&^(d.active.Load().Features&guestOffloadFeatures) != 0 {
		return false
	}
	if err := d.setGuestOffloads(features); err != nil {
		d.log.Warn("network link refused the guest's offloads", "error", err)
		return false
	}
	d.accepts = features
	return true
}
