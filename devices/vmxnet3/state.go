package vmxnet3

import (
	"github.com/sharevm/vmm/devices/nic"
	"github.com/sharevm/vmm/vmm/state"
)

const (
	stateName    = "vmxnet3"
	stateVersion = 1
)

// Pause stops the workers. Frames wait in the link and in the rings.
func (d *Device) Pause() { d.port.Stop() }

// Resume goes on after Pause.
func (d *Device) Resume() { d.port.Start() }

// Save implements state.Device.
func (d *Device) Save(w *state.Writer) {
	d.function.Save(w)
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version(stateName, stateVersion)
	w.U64(d.address)
	w.U32(d.answer)
	w.Bytes(d.mac[:])
	w.Bool(d.asserted)
	w.U32(d.finished)
	for _, i := range d.intr {
		w.Bool(i.masked)
		w.Bool(i.pending)
	}
	w.Bool(d.active)
	if !d.active {
		return
	}
	d.setup.save(w)
	w.U8(uint8(len(d.tx)))
	for i := range d.tx {
		q := &d.tx[i]
		q.ring.save(w)
		q.comp.save(w)
		w.U8(uint8(q.intr))
		w.U32(q.stopped)
		saveStats(w, &q.stats)
	}
	w.U8(uint8(len(d.rx)))
	for i := range d.rx {
		q := &d.rx[i]
		q.rings[0].save(w)
		q.rings[1].save(w)
		q.comp.save(w)
		w.U8(uint8(q.intr))
		w.Bool(q.starved)
		saveStats(w, &q.stats)
	}
}

func (c *setup) save(w *state.Writer) {
	w.U64(c.features)
	w.U64(c.queues)
	w.Bool(c.autoMask)
	w.U8(uint8(c.eventIntr))
	w.U32(c.mtu)
	w.U32(c.rxMode)
	w.Bytes(c.addresses)
	w.Bytes(c.vlans[:])
	w.U8(uint8(c.rss.kinds))
	w.Bytes(c.rss.key[:])
	w.Bytes(c.rss.table)
}

func (r *ring) save(w *state.Writer) {
	w.U64(r.base)
	w.U32(r.size)
	w.U32(r.next)
	w.Bool(r.generation)
}

func saveStats(w *state.Writer, stats *[statCount]uint64) {
	for _, v := range stats {
		w.U64(v)
	}
}

// Restore implements state.Device. Whether the cable is plugged in is the new machine's own affair.
func (d *Device) Restore(r *state.Reader) error {
	d.port.Stop()
	if err := d.function.Restore(r); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r.Version(stateName, stateVersion)
	address, answer, mac, asserted, finished := r.U64(), r.U32(), fixed(r, 6), r.Bool(), r.U32()
	var intr [vectors]interrupt
	for i := range intr {
		intr[i] = interrupt{masked: r.Bool(), pending: r.Bool()}
	}
	active := r.Bool()
	var c setup
	var tx []txQueue
	var rx []rxQueue
	if active && r.Err() == nil {
		c, tx, rx = restoreQueues(r)
	}
	if r.Err() == nil && (finished >= 1<<vectors || active && address%8 != 0) {
		r.Fail("vmxnet3: interrupts %#x, shared area at %#x", finished, address)
	}
	if r.Err() != nil {
		return r.Err()
	}
	d.deactivate()
	d.address, d.answer, d.mac, d.asserted, d.finished, d.intr = address, answer, [6]byte(mac), asserted, finished, intr
	d.active, d.setup, d.tx, d.rx = active, c, tx, rx
	return nil
}

// restoreQueues reads what an active card has.
func restoreQueues(r *state.Reader) (c setup, tx []txQueue, rx []rxQueue) {
	c.features, c.queues, c.autoMask, c.eventIntr, c.mtu, c.rxMode = r.U64(), r.U64(), r.Bool(), int(r.U8()), r.U32(), r.U32()
	c.addresses = append(c.addresses, r.Bytes(1<<16)...)
	copy(c.vlans[:], fixed(r, vlanTableSize))
	c.rss.kinds = nic.HashKinds(r.U8())
	copy(c.rss.key[:], fixed(r, nic.HashKeySize))
	c.rss.table = append(c.rss.table, r.Bytes(rssTableMax)...)
	bad := c.eventIntr >= vectors || c.queues%8 != 0 || c.rss.kinds >= 1<<4 || len(c.addresses)%6 != 0
	n := int(r.U8())
	bad = bad || n < 1 || n > maxTxQueues
	for i := 0; i < n && !bad && r.Err() == nil; i++ {
		q := txQueue{ring: restoreRing(r), comp: restoreRing(r), intr: int(r.U8()), stopped: r.U32(), stats: restoreStats(r)}
		bad = !q.ring.sound(maxRing) || !q.comp.sound(maxCompRing) || q.intr >= vectors
		tx = append(tx, q)
	}
	n = int(r.U8())
	bad = bad || n < 1 || n > maxRxQueues
	for i := 0; i < n && !bad && r.Err() == nil; i++ {
		q := rxQueue{rings: [2]ring{restoreRing(r), restoreRing(r)}, comp: restoreRing(r), intr: int(r.U8()), starved: r.Bool(), stats: restoreStats(r)}
		second := &q.rings[1]
		bad = !q.rings[0].sound(maxRing) || !q.comp.sound(maxCompRing) || second.size != 0 && !second.sound(maxRing) || q.intr >= vectors
		rx = append(rx, q)
	}
	for _, q := range c.rss.table {
		bad = bad || int(q) >= len(rx)
	}
	if r.Err() == nil && bad {
		r.Fail("vmxnet3: queues that no driver can have set up")
	}
	return c, tx, rx
}

// sound says whether a restored ring is one that the interface allows and its place is in it.
func (r *ring) sound(most uint32) bool { return r.valid(most) && r.next < r.size }

func restoreRing(r *state.Reader) ring {
	return ring{base: r.U64(), size: r.U32(), next: r.U32(), generation: r.Bool()}
}

func restoreStats(r *state.Reader) (stats [statCount]uint64) {
	for i := range stats {
		stats[i] = r.U64()
	}
	return stats
}

// fixed reads a field of exactly n bytes.
func fixed(r *state.Reader, n int) []byte {
	b := r.Bytes(n)
	if r.Err() == nil && len(b) != n {
		r.Fail("vmxnet3: field of %d bytes where %d were expected", len(b), n)
	}
	if len(b) != n {
		return make([]byte, n)
	}
	return b
}
