package e1000

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

var station = [6]byte{0, 0x0c, 0x29, 1, 2, 3}

// Where the driver of the tests has its things.
const (
	txRing  = 0x10000
	rxRing  = 0x20000
	txData  = 0x40000
	rxData  = 0x100000
	entries = 32
	bufSize = 2048
)

// driver is a card with a driver that polls.
type driver struct {
	t testing.TB
	*nictest.Board
	link   *linktest.Link
	dev    *Device
	msi    *virtiotest.Interrupts
	tail   uint32 // of the transmit ring
	rxNext uint32
	space  uint64 // for the next frame's data
}

func newDevice(t testing.TB, m Model, b *nictest.Board, l *linktest.Link, msi *virtiotest.Interrupts) *Device {
	t.Helper()
	d, err := New(Config{Model: m, Name: "test", MAC: station, Link: l, Memory: b.RAM, MSI: msi})
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

func newDriver(t testing.TB, m Model) *driver {
	t.Helper()
	d := &driver{t: t, Board: nictest.NewBoard(t), link: linktest.New(offers), msi: virtiotest.NewInterrupts()}
	d.dev = newDevice(t, m, d.Board, d.link, d.msi)
	d.Plug(t, d.dev.Function())
	return d
}

func (d *driver) get(at uint64) uint32    { return uint32(d.Read(0, at, 4)) }
func (d *driver) put(at uint64, v uint32) { d.Write(0, at, 4, uint64(v)) }

// start sets both rings up and gives all receive buffers but one to the card.
func (d *driver) start(rctl uint32) {
	d.tail, d.rxNext, d.space = 0, 0, txData
	d.put(regTX+qBaseLow, txRing)
	d.put(regTX+qLength, entries*descriptorSize)
	d.put(regTX+qHead, 0)
	d.put(regTX+qTail, 0)
	d.put(regTCTL, tctlEnable|tctlPad)
	for i := range uint64(entries) {
		d.rxDescriptor(i)
	}
	d.put(regRX+qBaseLow, rxRing)
	d.put(regRX+qLength, entries*descriptorSize)
	d.put(regRX+qHead, 0)
	d.put(regRX+qTail, entries-1)
	d.put(regRCTL, rctlEnable|rctlBroadcast|rctlStripCRC|rctl)
}

func (d *driver) rxDescriptor(i uint64) {
	desc := d.Host[rxRing+i*descriptorSize:][:descriptorSize]
	clear(desc)
	binary.LittleEndian.PutUint64(desc, rxData+i*bufSize)
}

// store puts bytes where a descriptor can point to.
func (d *driver) store(b []byte) uint64 {
	if d.space+uint64(len(b)) > rxData {
		d.space = txData
	}
	at := d.space
	copy(d.Host[at:], b)
	d.space += uint64(len(b))
	return at
}

// queue puts a descriptor into the transmit ring; the card is not told.
func (d *driver) queue(buffer uint64, lower, upper uint32) {
	desc := d.Host[txRing+d.tail*descriptorSize:][:descriptorSize]
	binary.LittleEndian.PutUint64(desc, buffer)
	binary.LittleEndian.PutUint32(desc[8:], lower)
	binary.LittleEndian.PutUint32(desc[12:], upper)
	d.tail = (d.tail + 1) % entries
}

// kick tells the card, and waits until it has taken everything.
func (d *driver) kick() {
	d.put(regTX+qTail, d.tail)
	for d.get(regTX+qHead) != d.tail {
		runtime.Gosched()
	}
}

// data queues an extended data descriptor.
func (d *driver) data(b []byte, command, popts, tag uint32) {
	d.queue(d.store(b), uint32(len(b))|txdTypeData|txdExtended|command, popts|tag<<16)
}

// receive waits for a frame in one legacy or extended descriptor and gives the buffer back.
func (d *driver) receive() (frame []byte, desc [descriptorSize]byte) {
	d.t.Helper()
	at := rxRing + uint64(d.rxNext)*descriptorSize
	status := 12
	extended := d.dev.model.queues > 1 && d.get(regRFCTL)&rfctlExtended != 0
	if extended {
		status = extendedState
	}
	for {
		d.dev.mu.Lock() // the card writes with it
		copy(desc[:], d.Host[at:])
		d.dev.mu.Unlock()
		if desc[status]&statusDone != 0 {
			break
		}
		runtime.Gosched()
	}
	n := binary.LittleEndian.Uint16(desc[8:])
	if extended {
		n = binary.LittleEndian.Uint16(desc[12:])
	}
	buf := rxData + uint64(d.rxNext)*bufSize
	frame = append([]byte{}, d.Host[buf:buf+uint64(n)]...)
	d.dev.mu.Lock()
	d.rxDescriptor(uint64(d.rxNext))
	d.dev.mu.Unlock()
	d.rxNext = (d.rxNext + 1) % entries
	d.put(regRX+qTail, (d.rxNext+entries-1)%entries)
	return frame, desc
}

// both runs a test on each model.
func both(t *testing.T, run func(t *testing.T, m Model)) {
	for _, m := range []Model{Model82545EM, Model82574L} {
		t.Run(models[m].name, func(t *testing.T) { run(t, m) })
	}
}
