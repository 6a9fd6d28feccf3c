package e1000

import (
	"encoding/binary"

	"github.com/sharevm/vmm/devices/nic"
	"github.com/sharevm/vmm/vmm/memory/shared"
)

// Receive descriptors as they are written back (82574 datasheet, section 7.1; 317453, section 3.2).
const (
	splitSize     = 32 // bytes of a packet split descriptor
	splitBuffers  = 4
	statusDone    = 1 << 0
	statusEOP     = 1 << 1
	statusNoSums  = 1 << 2 // IXSM
	statusVLAN    = 1 << 3
	statusUDP     = 1 << 4 // UDPCS, extended descriptors
	statusTCP     = 1 << 5 // TCPCS
	statusIP      = 1 << 6 // IPCS
	errorTCP      = 1 << 5 // of the byte of errors
	errorIP       = 1 << 6
	headerSplit   = 1 << 15
	errorsShift   = 24 // of the byte of errors in the word of status and errors
	splitHeader   = 16 // offset of the header's length
	splitLengths  = 18
	extendedState = 8 // offset of the word of status and errors
	rssEnable     = 1 // of MRQC
)

// receiveQueue is a receive queue as its registers describe it at the moment.
type receiveQueue struct {
	index      int
	at         uint64 // its registers
	base       uint64
	size       uint32 // descriptors
	head, tail uint32
	split      bool
	extended   bool
	entry      uint32 // bytes of a descriptor
}

func (d *Device) receiveQueue(i int) (q receiveQueue, ok bool) {
	at := regRX + uint64(i)*queueStride
	q = receiveQueue{index: i, at: at, entry: descriptorSize}
	q.extended = d.model.queues > 1 && d.reg(regRFCTL)&rfctlExtended != 0
	if q.split = q.extended && d.reg(regRCTL)&rctlSplit != 0; q.split {
		q.entry = splitSize
	}
	q.base = uint64(d.reg(at+qBaseLow))&^15 | uint64(d.reg(at+qBaseHigh))<<32
	q.size = d.reg(at+qLength) & 0xfff80 / q.entry
	q.head, q.tail = d.reg(at+qHead)&0xffff, d.reg(at+qTail)&0xffff
	return q, q.head < q.size && q.tail < q.size
}

// free is how many descriptors the driver has given.
func (q *receiveQueue) free() uint32 { return (q.tail + q.size - q.head) % q.size }

// Room implements nic.Card.
func (d *Device) Room() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reg(regRCTL)&rctlEnable == 0 {
		return false
	}
	for i := range d.model.queues {
		if q, ok := d.receiveQueue(i); ok && q.free() > 0 {
			return true
		}
	}
	return false
}

// Receive implements nic.Card.
func (d *Device) Receive(f *nic.Frame) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reg(regRCTL)&rctlEnable == 0 {
		return true
	}
	tag, tagged := f.VLAN(uint16(d.reg(regVET)))
	if !d.accepts(f, tag, tagged) {
		return true
	}
	index, hash, kind := d.spread(f)
	q, ok := d.receiveQueue(index)
	if !ok {
		return true
	}
	strip := tagged && d.reg(regCTRL)&ctrlVLAN != 0
	front, back := f.Pieces(strip, d.reg(regRCTL)&rctlStripCRC == 0)
	sizes := d.bufferSizes(&q)
	capacity := 0
	for _, s := range sizes {
		capacity += s
	}
	needed := uint32(1)
	if capacity > 0 {
		needed = uint32((len(front) + len(back) + capacity - 1) / capacity)
	}
	if capacity == 0 || needed >= q.size {
		d.add(statMPC, 1)
		return true // it never fits
	}
	if q.free() < needed {
		return false
	}
	w := writer{device: d, frame: f, sizes: sizes, state: d.judge(f), front: front, back: back, hash: hash, kind: kind}
	if strip {
		w.state |= statusVLAN
		w.tag = tag
	}
	for range needed {
		w.descriptor(&q)
	}
	d.set(q.at+qHead, q.head)
	d.count(f, len(front)+len(back))
	causes := uint32(icrRXT0)
	if d.model.queues > 1 {
		causes |= icrRXQ0 << index
	}
	if q.free() <= q.size>>(1+d.reg(regRCTL)>>8&3) {
		causes |= icrRXDMT0
	}
	d.raise(causes)
	return true
}

// bufferSizes are those of the buffers of a descriptor.
func (d *Device) bufferSizes(q *receiveQueue) (sizes [splitBuffers]int) {
	if q.split {
		v := d.reg(regPSRCTL)
		return [splitBuffers]int{int(v&0x7f) << 7, int(v>>8&0x3f) << 10, int(v>>16&0x3f) << 10, int(v>>24&0x3f) << 10}
	}
	rctl := d.reg(regRCTL)
	if flex := rctl >> 27 & 15; flex != 0 && d.model.queues > 1 {
		sizes[0] = int(flex) << 10
		return sizes
	}
	size := 2048 >> (rctl >> 16 & 3)
	if rctl&rctlSizeExt != 0 && size != 2048 {
		size <<= 4
	}
	sizes[0] = size
	return sizes
}

// spread chooses the queue of a frame by its hash.
func (d *Device) spread(f *nic.Frame) (queue int, hash uint32, kind nic.HashKinds) {
	mrqc := d.reg(regMRQC)
	if d.model.queues == 1 || mrqc&3 != rssEnable {
		return 0, 0, 0
	}
	var want nic.HashKinds
	for bit, k := range [...]nic.HashKinds{nic.HashTCPv4, nic.HashIPv4, nic.HashTCPv6, nic.HashIPv6, nic.HashIPv6} {
		if mrqc>>(16+bit)&1 != 0 {
			want |= k
		}
	}
	var key [nic.HashKeySize]byte
	for i := range nic.HashKeySize / 4 {
		binary.LittleEndian.PutUint32(key[4*i:], d.reg(regRSSRK+4*uint64(i)))
	}
	if hash, kind = f.Hash(&key, want); kind == 0 {
		return 0, 0, 0
	}
	entry := hash & 0x7f
	return int(d.reg(regRETA+uint64(entry&^3)) >> (8*(entry&3) + 7) & 1), hash, kind
}

// judge returns status and errors of a frame's checksums, as the driver has asked for.
func (d *Device) judge(f *nic.Frame) (state uint32) {
	rxcsum := d.reg(regRXCSUM)
	if rxcsum&rxcsumIP != 0 && f.V4 {
		state |= statusIP
		if !f.IPGood {
			state |= errorIP << errorsShift
		}
	}
	if rxcsum&rxcsumTransport != 0 && (f.TCP || f.UDP && !f.NoSum) && (!f.V4 || f.IPGood) {
		state |= statusTCP
		if f.UDP && d.model.queues > 1 {
			state |= statusUDP
		}
		if !f.SumGood {
			state |= errorTCP << errorsShift
		}
	}
	if state == 0 {
		state = statusNoSums
	}
	return state
}

// count adds a frame to the statistics.
func (d *Device) count(f *nic.Frame, n int) {
	d.add(statGPRC, 1)
	d.add(statTPR, 1)
	switch {
	case f.Broadcast():
		d.add(statBPRC, 1)
	case f.Multicast():
		d.add(statMPRC, 1)
	}
	d.addBytes(statGORCL, n)
	d.addBytes(statTORL, n)
}

// writer stores a frame, descriptor by descriptor.
type writer struct {
	device      *Device
	frame       *nic.Frame
	sizes       [splitBuffers]int
	state       uint32 // status and errors
	tag         uint16
	hash        uint32
	kind        nic.HashKinds
	front, back []byte // what is left
	begun       bool
}

// descriptor fills the next one.
func (w *writer) descriptor(q *receiveQueue) {
	address := q.base + uint64(q.head)*uint64(q.entry)
	q.head = (q.head + 1) % q.size
	desc, err := w.device.mem.Slice(address, uint64(q.entry))
	if err != nil {
		w.fill(0, w.sizes[0]) // it goes where there is nothing
		return
	}
	var buffers [splitBuffers]uint64
	buffers[0] = binary.LittleEndian.Uint64(desc)
	if q.split {
		for i := 1; i < splitBuffers; i++ {
			buffers[i] = binary.LittleEndian.Uint64(desc[8*i:])
		}
	}
	var lengths [splitBuffers]int
	header := 0
	if n := w.frame.Payload - w.tagLen(); q.split && !w.begun && n > 0 && n <= w.sizes[0] && w.fits(n) {
		header = n
		lengths[0] = w.fill(buffers[0], n)
	} else {
		lengths[0] = w.fill(buffers[0], w.sizes[0])
	}
	for i := 1; i < splitBuffers; i++ {
		lengths[i] = w.fill(buffers[i], w.sizes[i])
	}
	w.begun = true
	state, tag := uint32(statusDone), uint16(0)
	if len(w.front)+len(w.back) == 0 {
		state |= statusEOP | w.state
		tag = w.tag
	}
	switch {
	case q.split:
		le16(desc[splitHeader:], header)
		if header > 0 {
			desc[splitHeader+1] |= headerSplit >> 8
		}
		for i := 1; i < splitBuffers; i++ {
			le16(desc[splitLengths+2*(i-1):], lengths[i])
		}
		fallthrough
	case q.extended:
		w.hashInto(desc, q.index)
		shared.Store32(desc, 12, uint32(lengths[0])|uint32(tag)<<16)
		shared.Store32(desc, extendedState, state)
	default:
		le16(desc[8:], lengths[0])
		le16(desc[10:], 0)
		shared.Store32(desc, 12, state&0xff|state>>errorsShift<<8|uint32(tag)<<16)
	}
}

// fits says whether what follows a header of n bytes fits the descriptor's other buffers.
func (w *writer) fits(n int) bool {
	return len(w.front)+len(w.back)-n <= w.sizes[1]+w.sizes[2]+w.sizes[3]
}

// tagLen is how many bytes the stored frame is shorter than the one that came.
func (w *writer) tagLen() int {
	if w.state&statusVLAN != 0 {
		return 4
	}
	return 0
}

// hashInto writes the first two words of an extended descriptor: the kind of the hash with the queue, and the hash.
func (w *writer) hashInto(desc []byte, queue int) {
	kind, hash := hashType(w.kind), w.hash
	if w.device.reg(regRXCSUM)&rxcsumNoPacket == 0 {
		kind, hash = 0, 0
	}
	binary.LittleEndian.PutUint32(desc, kind|uint32(queue)<<8)
	binary.LittleEndian.PutUint32(desc[4:], hash)
}

// hashType is the RSS type of a descriptor.
func hashType(k nic.HashKinds) uint32 {
	switch k {
	case nic.HashTCPv4:
		return 1
	case nic.HashIPv4:
		return 2
	case nic.HashTCPv6:
		return 3
	case nic.HashIPv6:
		return 5
	}
	return 0
}

// fill stores up to size bytes at a guest address and returns how many. Where there is no memory they are lost, as on a bus.
func (w *writer) fill(address uint64, size int) int {
	n := min(size, len(w.front)+len(w.back))
	if n == 0 {
		return 0
	}
	to, _ := w.device.mem.Slice(address, uint64(n))
	c := min(n, len(w.front))
	k := copy(to, w.front[:c])
	copy(to[k:], w.back[:n-c])
	w.front, w.back = w.front[c:], w.back[n-c:]
	return n
}

func le16(b []byte, v int) { binary.LittleEndian.PutUint16(b, uint16(v)) }
