package vmxnet3

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/sharevm/vmm/devices/nic/nictest"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

const offers = network.OffloadChecksum | network.OffloadTSO4 | network.OffloadTSO6 | network.OffloadECN

var station = [6]byte{0, 0x50, 0x56, 1, 2, 3}

// Where the driver of the tests has its things.
const (
	sharedArea = 0x1000
	queueArea  = 0x2000
	rssArea    = 0x3000
	tableArea  = 0x4000
	ringArea   = 0x10000 // of a queue: ringStride apart
	ringStride = 0x4000
	secondRing = 0x1000
	compRing   = 0x2000
	txData     = 0x80000
	rxData     = 0x100000
	entries    = 32
	bufSize    = 1600
)

// driver is a card with a driver that polls. Its queues are numbered as in the queue descriptors: those that transmit first.
type driver struct {
	t testing.TB
	*nictest.Board
	link   *linktest.Link
	dev    *Device
	msi    *virtiotest.Interrupts
	numTx  int
	queues []position
	space  uint64
}

// position is the driver's place in the rings of a queue.
type position struct {
	fill, comp       uint32
	fillGen, compGen bool
}

func newDevice(t testing.TB, b *nictest.Board, l *linktest.Link, msi *virtiotest.Interrupts) *Device {
	t.Helper()
	d, err := New(Config{Name: "test", MAC: station, Link: l, Memory: b.RAM, MSI: msi})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func newDriver(t testing.TB) *driver {
	t.Helper()
	d := &driver{t: t, Board: nictest.NewBoard(t), link: linktest.New(offers), msi: virtiotest.NewInterrupts()}
	d.dev = newDevice(t, d.Board, d.link, d.msi)
	d.Plug(t, d.dev.Function())
	return d
}

func (d *driver) put32(at uint64, v uint32) { binary.LittleEndian.PutUint32(d.Host[at:], v) }
func (d *driver) put64(at uint64, v uint64) { binary.LittleEndian.PutUint64(d.Host[at:], v) }

// command carries out a command and returns its answer.
func (d *driver) command(c uint32) uint32 {
	d.Write(1, regCMD, 4, uint64(c))
	return uint32(d.Read(1, regCMD, 4))
}

func ringAt(queue int) uint64 { return ringArea + uint64(queue)*ringStride }

// describe fills the shared area in for some queues of each direction.
func (d *driver) describe(numTx, numRx int) {
	d.numTx, d.space = numTx, txData
	clear(d.Host[sharedArea : sharedArea+sharedSize])
	d.put32(sharedArea, sharedMagic)
	d.put64(sharedArea+offFeatures, featureRxCsum|featureRxVLAN)
	d.put64(sharedArea+offQueueDesc, queueArea)
	d.Host[sharedArea+offTxQueues], d.Host[sharedArea+offRxQueues] = byte(numTx), byte(numRx)
	d.Host[sharedArea+offAutoMask], d.Host[sharedArea+offNumIntrs] = 1, byte(numTx+numRx+1)
	d.Host[sharedArea+offEventIntr] = byte(numTx + numRx)
	d.put32(sharedArea+offRxMode, rxUnicast|rxBroadcast)
	d.put32(sharedArea+offMTU, 1500)
	d.queues = make([]position, numTx+numRx)
	for i := range d.queues {
		d.queues[i] = position{fillGen: true, compGen: true}
		ring := ringAt(i)
		clear(d.Host[ring : ring+ringStride])
		q := queueArea + uint64(i)*queueDescSize
		clear(d.Host[q : q+queueDescSize])
		d.put64(q+offRing, ring)
		d.put32(q+offRingSize, entries)
		d.put64(q+offComp, ring+compRing)
		d.put32(q+offCompSize, entries)
		d.Host[q+offIntr] = byte(i)
		if i >= numTx {
			d.put64(q+offRing2, ring+secondRing)
			d.put32(q+offRing2Size, entries)
		}
	}
	d.Write(1, regDSAL, 4, sharedArea)
	d.Write(1, regDSAH, 4, 0)
}

// start activates the card and gives it buffers.
func (d *driver) start(numTx, numRx int) {
	d.t.Helper()
	d.describe(numTx, numRx)
	if a := d.command(cmdActivate); a != 0 {
		d.t.Fatalf("activation: %d", a)
	}
	for i := range numRx {
		for range entries - 1 {
			d.refill(i)
		}
	}
}

// refill gives a receive queue one more buffer.
func (d *driver) refill(rx int) {
	i := d.numTx + rx
	p := &d.queues[i]
	at := ringAt(i) + uint64(p.fill)*descSize
	d.dev.mu.Lock() // the card looks at any time
	d.put64(at, rxData+(uint64(rx)*entries+uint64(p.fill))*bufSize)
	d.put32(at+8, bufSize|bit(p.fillGen, rxGen))
	d.dev.mu.Unlock()
	if p.fill++; p.fill == entries {
		p.fill, p.fillGen = 0, !p.fillGen
	}
	d.Write(0, regRXPROD+regStride*uint64(rx), 4, uint64(p.fill))
}

func bit(on bool, v uint32) uint32 {
	if on {
		return v
	}
	return 0
}

// queue puts a descriptor into a transmit ring; the card may see it at once.
func (d *driver) queue(tx int, b []byte, third, fourth uint32) {
	p := &d.queues[tx]
	if d.space+uint64(len(b)) > rxData {
		d.space = txData
	}
	copy(d.Host[d.space:], b)
	at := ringAt(tx) + uint64(p.fill)*descSize
	d.dev.mu.Lock()
	d.put64(at, d.space)
	d.put32(at+12, fourth)
	d.put32(at+8, uint32(len(b))&txLen|third|bit(p.fillGen, txGen))
	d.dev.mu.Unlock()
	d.space += uint64(len(b))
	if p.fill++; p.fill == entries {
		p.fill, p.fillGen = 0, !p.fillGen
	}
}

func (d *driver) kick(tx int) {
	d.Write(0, regTXPROD+regStride*uint64(tx), 4, uint64(d.queues[tx].fill))
}

// completion waits for the next completion of a queue.
func (d *driver) completion(queue int) (words [4]uint32) {
	p := &d.queues[queue]
	at := ringAt(queue) + compRing + uint64(p.comp)*descSize
	for {
		d.dev.mu.Lock()
		for i := range words {
			words[i] = binary.LittleEndian.Uint32(d.Host[at+4*uint64(i):])
		}
		d.dev.mu.Unlock()
		if words[3]&compGen == bit(p.compGen, compGen) {
			break
		}
		runtime.Gosched()
	}
	if p.comp++; p.comp == entries {
		p.comp, p.compGen = 0, !p.compGen
	}
	return words
}

// receive waits for a frame in one buffer and gives it back.
func (d *driver) receive(rx int) (frame []byte, words [4]uint32) {
	words = d.completion(d.numTx + rx)
	at := rxData + (uint64(rx)*entries+uint64(words[0]&0xfff))*bufSize
	frame = append([]byte{}, d.Host[at:at+uint64(words[2]&rxLen)]...)
	d.refill(rx)
	return frame, words
}
