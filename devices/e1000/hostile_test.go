package e1000

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/sharevm/vmm/devices/nic/nictest"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/virtio/virtiotest"
	"github.com/sharevm/vmm/vmm/memory/memorytest"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

// works resets the card and has it send and receive one frame, for after whatever has been done to it.
func (d *driver) works() {
	d.t.Helper()
	d.put(regCTRL, ctrlReset)
	d.link.Forget()
	d.dev.SetLink(true)
	d.start(rctlUnicastAll)
	want := nictest.Frame(station, nictest.Kind{}, []byte("after everything"))
	d.queue(d.store(want), uint32(len(want))|txdEOP|txdReport, 0)
	d.put(regTX+qTail, d.tail)
	for deadline := time.Now().Add(20 * time.Second); d.get(regTX+qHead) != d.tail; runtime.Gosched() {
		if time.Now().After(deadline) {
			d.t.Fatal("the card does not send any more")
		}
	}
	sent := d.link.Sent(1)
	if got := sent[len(sent)-1]; !bytes.Equal(got[network.HeaderLen:], want) {
		d.t.Errorf("sent % x", got)
	}
	last := []byte("a frame whose number is drawn: ")
	last = binary.LittleEndian.AppendUint64(last, rand.Uint64())
	want = nictest.Frame(station, nictest.Kind{}, last)
	d.link.Deliver(network.Header{}, want)
	for range 1000 { // frames of before may come first
		if got, _ := d.receive(); bytes.Equal(got, want) {
			return
		}
	}
	d.t.Error("the card does not receive any more")
}

// TestHostileRings sets rings up that no driver would.
func TestHostileRings(t *testing.T) {
	both(t, func(t *testing.T, m Model) {
		frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 50))
		for name, attack := range map[string]func(d *driver){
			"ring outside RAM":     func(d *driver) { d.put(regTX+qBaseHigh, 0xffffffff); d.put(regTX+qTail, 31) },
			"ring over the end":    func(d *driver) { d.put(regTX+qBaseLow, nictest.RAMSize-64); d.put(regTX+qTail, 31) },
			"tail beyond the ring": func(d *driver) { d.put(regTX+qTail, 0xffff) },
			"head beyond the ring": func(d *driver) { d.put(regTX+qHead, 0xffff); d.put(regTX+qTail, 1) },
			"ring of no length":    func(d *driver) { d.put(regTX+qLength, 0); d.put(regTX+qTail, 1) },
			"largest ring": func(d *driver) {
				d.put(regTX+qBaseLow, 0)
				d.put(regTX+qLength, 0xffffffff)
				d.put(regTX+qTail, 0xfffe)
			},
			"no end of packet":       func(d *driver) { d.endless(0) },
			"no end, extended":       func(d *driver) { d.endless(txdExtended | txdTypeData | 0xfffff) },
			"contexts only":          func(d *driver) { d.endless(txdExtended) },
			"unknown type":           func(d *driver) { d.endless(txdExtended | 7<<20 | txdEOP) },
			"empty frames":           func(d *driver) { d.endless(txdEOP) },
			"receive ring of one":    func(d *driver) { d.put(regRX+qLength, 16) },
			"receive ring elsewhere": func(d *driver) { d.put(regRX+qBaseHigh, 0x80000000) },
			"receive buffers elsewhere": func(d *driver) {
				for i := range entries {
					binary.LittleEndian.PutUint64(d.Host[rxRing+i*descriptorSize:], ^uint64(0)-uint64(i))
				}
			},
			"receive head and tail": func(d *driver) { d.put(regRX+qHead, 40); d.put(regRX+qTail, 50) },
			"split into nothing": func(d *driver) {
				d.put(regRFCTL, rfctlExtended)
				d.put(regPSRCTL, 0)
				d.put(regRCTL, 0x40e|rctlUnicastAll)
			},
			"split headers only": func(d *driver) {
				d.put(regRFCTL, rfctlExtended)
				d.put(regPSRCTL, 1)
				d.put(regRCTL, 0x40e|rctlUnicastAll)
			},
			"hash to nowhere":       func(d *driver) { d.put(regMRQC, 0xffffffff); d.put(regRETA, 0xffffffff) },
			"vectors that are none": func(d *driver) { d.put(regIVAR, 0xffffffff); d.put(regIMS, 0xffffffff); d.put(regICS, 0xffffffff) },
		} {
			d := newDriver(t, m)
			d.start(0)
			attack(d)
			for range 3 {
				d.link.Deliver(network.Header{}, frame)
			}
			runtime.Gosched()
			d.works()
			if t.Failed() {
				t.Fatal(name)
			}
		}
	})
}

// endless fills a large ring with one descriptor.
func (d *driver) endless(lower uint32) {
	const ring, n = 0x200000, 32768
	for i := range n {
		binary.LittleEndian.PutUint32(d.Host[ring+i*descriptorSize+8:], lower)
	}
	d.put(regTX+qBaseLow, ring)
	d.put(regTX+qLength, n*descriptorSize)
	d.put(regTX+qTail, n-1)
}

// TestHostileContexts sends frames whose contexts ask for places that are none.
func TestHostileContexts(t *testing.T) {
	both(t, func(t *testing.T, m Model) {
		d := newDriver(t, m)
		d.start(0)
		frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 2000))
		for range 500 {
			d.queue(rand.Uint64(), txdExtended|contextTCP|rand.Uint32()&0xfffff, rand.Uint32()>>(rand.Uint32()%32))
			if rand.IntN(2) == 0 { // one that is nearly right
				d.tail = (d.tail + entries - 1) % entries
				d.queue(14|24<<8|33<<16|34<<32|50<<40, txdExtended|contextTCP, uint32(rand.IntN(256))<<8|uint32(rand.IntN(3000))<<16)
			}
			command := uint32(txdEOP | txdReport)
			if rand.IntN(2) == 0 {
				command |= txdSegment
			}
			d.data(frame[:rand.IntN(len(frame))], command, uint32(rand.IntN(4))<<8, uint32(rand.IntN(2)))
			d.kick()
			d.link.Forget()
		}
		d.works()
	})
}

// TestRacingWriter changes rings and registers while the card works on them.
func TestRacingWriter(t *testing.T) {
	d := newDriver(t, Model82574L)
	d.start(0)
	frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 500))
	registers := []uint64{regTX + qTail, regTX + qHead, regTX + qLength, regRX + qTail, regRX + qHead, regRCTL, regTCTL, regIMS, regICS, regIMC, regRFCTL}
	stop := memorytest.Beside(t, func(i int) {
		d.put(registers[rand.IntN(len(registers))], rand.Uint32()>>(rand.Uint32()%32))
		if i%100 == 0 {
			d.put(regCTRL, ctrlReset)
			d.put(regTX+qBaseLow, txRing)
			d.put(regRX+qBaseLow, rxRing)
			d.put(regTX+qLength, 512)
			d.put(regRX+qLength, 512)
			d.put(regTCTL, tctlEnable)
			d.put(regRCTL, rctlEnable|rctlUnicastAll)
		}
	})
	for range 300 {
		d.link.Deliver(network.Header{}, frame)
		runtime.Gosched()
	}
	stop()
	d.works()
}

// TestPanickingLink: the card tells its driver that the cable is out, and its registers answer.
func TestPanickingLink(t *testing.T) {
	d := newDriver(t, Model82574L)
	d.start(0)
	d.put(regIMS, icrLSC)
	d.link.Panic(true)
	frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 50))
	d.queue(d.store(frame), uint32(len(frame))|txdEOP, 0)
	d.put(regTX+qTail, d.tail)
	d.AwaitLine(true)
	if d.get(regSTATUS)&statusLinkUp != 0 {
		t.Error("the link is up")
	}
}

// FuzzE1000 plays a guest that writes what it likes to registers and rings, with snapshots in between: whatever it does, the card works after a
// reset.
func FuzzE1000(f *testing.F) {
	f.Add(byte(0), []byte{})
	for op := range byte(9) {
		f.Add(op, bytes.Repeat([]byte{op, 0x18, 0x38, 4, 1, 0, 0, 0, op + 1, 0, 4, 4, 2, 0, 0, 0, op + 2}, 8))
	}
	interesting := []uint64{
		regCTRL, regEECD, regEERD, regMDIC, regICS, regIMS, regIMC, regICR, regRCTL, regTCTL, regRFCTL, regPSRCTL, regMRQC, regIVAR, regEITR, regCTRLEXT,
		regTX + qTail, regTX + qHead, regTX + qLength, regTX + qBaseLow, regRX + qTail, regRX + qHead, regRX + qLength, regRX + qBaseLow,
		regTX + queueStride + qTail, regTX + queueStride + qLength, regRX + queueStride + qTail, regRX + queueStride + qLength,
	}
	f.Fuzz(func(t *testing.T, model byte, program []byte) {
		m := Model(model % 2)
		d := newDriver(t, m)
		d.start(rctlUnicastAll)
		for steps := 0; len(program) > 8 && steps < 200; steps++ {
			op, width := program[0]%9, int(program[0]/9)%8+1
			at := uint64(binary.LittleEndian.Uint16(program[1:]))
			v := binary.LittleEndian.Uint32(program[3:])
			program = program[7:]
			switch op {
			case 0:
				d.Write(0, at, width, uint64(v)|uint64(v)<<32)
			case 1:
				d.Read(0, at, width)
			case 2, 3:
				d.put(interesting[at%uint64(len(interesting))], v)
			case 4: // a descriptor
				copy(d.Host[txRing+at%entries*descriptorSize:], program[:min(16, len(program))])
				copy(d.Host[rxRing+at%entries*descriptorSize:], program[:min(16, len(program))])
			case 5:
				d.put(regTX+qTail, v%entries)
			case 6:
				d.link.Deliver(network.Header{}, nictest.Frame(station, nictest.Kind{V6: v&1 != 0, UDP: v&2 != 0}, make([]byte, at%2000)))
			case 7:
				d.dev.SetLink(v&1 != 0)
			case 8:
				if steps%4 == 0 {
					statetest.Cycle(t, d.dev, func() state.Device {
						d.link = linktest.New(offers)
						d.msi = virtiotest.NewInterrupts()
						d.dev = newDevice(t, m, d.Board, d.link, d.msi)
						d.Plug(t, d.dev.Function())
						return d.dev
					})
				}
			}
		}
		d.SetConfig(4, 2, 7)
		d.works()
	})
}

// FuzzRestore feeds a card with states that nobody saved.
func FuzzRestore(f *testing.F) {
	b := nictest.NewBoard(f)
	d := newDevice(f, Model82574L, b, linktest.New(offers), virtiotest.NewInterrupts())
	b.Plug(f, d.Function())
	d.Pause()
	var w state.Writer
	d.Save(&w)
	f.Add(w.Data())
	f.Fuzz(func(t *testing.T, saved []byte) {
		d := newDriver(t, Model82574L)
		d.dev.Pause()
		if err := d.dev.Restore(state.NewReader(saved)); err == nil {
			d.dev.Resume()
			d.put(regTX+qTail, 1)
			d.get(regICR)
		}
	})
}

// BenchmarkTransmit is the way of 16 frames of 1514 bytes from the ring to the link and back.
func BenchmarkTransmit(b *testing.B) {
	d := newDriver(b, Model82574L)
	d.start(0)
	d.link.Discard()
	const frames = 16
	at := d.store(make([]byte, 1514))
	w := window{d.dev}
	var p [4]byte
	value := func() uint32 { return binary.LittleEndian.Uint32(p[:]) }
	b.ReportAllocs()
	for b.Loop() {
		for range frames {
			d.queue(at, 1514|txdEOP|txdReport, 0)
		}
		binary.LittleEndian.PutUint32(p[:], d.tail)
		w.Write(regTX+qTail, p[:])
		for w.Read(regTX+qHead, p[:]); value() != d.tail; w.Read(regTX+qHead, p[:]) {
			runtime.Gosched()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*frames), "ns/frame")
}

// BenchmarkReceive is the way of a frame of 1514 bytes from the port into the ring, without the link.
func BenchmarkReceive(b *testing.B) {
	d := newDriver(b, Model82574L)
	d.put(regRFCTL, rfctlExtended)
	d.start(0)
	d.dev.Pause()
	frame := nictest.Received(b, nictest.Frame(station, nictest.Kind{}, make([]byte, 1448)))
	b.ReportAllocs()
	for b.Loop() {
		d.dev.set(regRX+qTail, (d.dev.reg(regRX+qHead)+entries-1)%entries)
		if !d.dev.Receive(frame) {
			b.Fatal("no room")
		}
	}
}
