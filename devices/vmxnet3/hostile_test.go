package vmxnet3

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/sharevm/vmm/devices/nic/nictest"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/virtio/virtiotest"
	"github.com/sharevm/vmm/vmm/memory/memorytest"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

// TestRefusesSetup activates the card with shared areas that no driver would make.
func TestRefusesSetup(t *testing.T) {
	for name, spoil := range map[string]func(d *driver){
		"no magic":            func(d *driver) { d.put32(sharedArea, 1) },
		"area outside RAM":    func(d *driver) { d.Write(1, regDSAH, 4, 0xffffffff) },
		"area at the end":     func(d *driver) { d.Write(1, regDSAL, 4, nictest.RAMSize-64) },
		"area not aligned":    func(d *driver) { d.Write(1, regDSAL, 4, sharedArea+1) },
		"no queue":            func(d *driver) { d.Host[sharedArea+offTxQueues] = 0 },
		"many queues":         func(d *driver) { d.Host[sharedArea+offRxQueues] = 17 },
		"queues outside RAM":  func(d *driver) { d.put64(sharedArea+offQueueDesc, ^uint64(7)) },
		"queues not aligned":  func(d *driver) { d.put64(sharedArea+offQueueDesc, queueArea+1) },
		"event interrupt":     func(d *driver) { d.Host[sharedArea+offEventIntr] = vectors },
		"queue interrupt":     func(d *driver) { d.Host[queueArea+offIntr] = 200 },
		"ring of no size":     func(d *driver) { d.put32(queueArea+offRingSize, 0) },
		"large ring":          func(d *driver) { d.put32(queueArea+offRingSize, 4097) },
		"ring not aligned":    func(d *driver) { d.put64(queueArea+offRing, ringArea+8) },
		"large completions":   func(d *driver) { d.put32(queueArea+offCompSize, 1<<31) },
		"large receive ring":  func(d *driver) { d.put32(queueArea+queueDescSize+offRingSize, 1<<20) },
		"large second ring":   func(d *driver) { d.put32(queueArea+queueDescSize+offRing2Size, 1<<20) },
		"unaligned receivers": func(d *driver) { d.put64(queueArea+queueDescSize+offComp, 3) },
	} {
		d := newDriver(t)
		d.describe(1, 1)
		spoil(d)
		if d.command(cmdActivate) != answerFailed {
			t.Errorf("%s was taken", name)
		}
		for c := range uint32(0x20) {
			d.command(cmdActivate&^0xff | c)
			d.command(cmdQueueStatus | c)
		}
		d.works()
	}
}

// TestHostileRings breaks the rules after activation: the queue stops with an event, or the card goes on.
func TestHostileRings(t *testing.T) {
	frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 50))
	for _, test := range []struct {
		name   string
		attack func(d *driver)
		stops  bool
	}{
		{"buffer outside RAM", func(d *driver) {
			d.queue(0, frame, 0, txEOP|txReport)
			d.put64(ringAt(0), ^uint64(0)-20)
		}, true},
		{"no end of packet", func(d *driver) {
			for range entries {
				d.queue(0, frame, 0, 0)
			}
		}, true},
		{"too long", func(d *driver) {
			for range 5 {
				d.queue(0, make([]byte, 1<<14), 0, 0)
			}
		}, true},
		{"segments of nothing", func(d *driver) { d.queue(0, frame, 0, txEOP|txReport|modeTSO<<txMode|54) }, false},
		{"headers longer than the frame", func(d *driver) { d.queue(0, frame, 1448<<txMSSShift, txEOP|txReport|modeTSO<<txMode|1023) }, false},
		{"checksum outside", func(d *driver) { d.queue(0, frame, (1<<14-1)<<txMSSShift, txEOP|txReport|modeSum<<txMode|1023) }, false},
		{"unknown mode", func(d *driver) { d.queue(0, frame, 0, txEOP|txReport|1<<txMode) }, false},
	} {
		d := newDriver(t)
		d.start(1, 1)
		d.dev.Pause()
		test.attack(d)
		d.dev.Resume()
		d.kick(0)
		if test.stops {
			for d.Read(1, regECR, 4)&ecrTxError == 0 {
				runtime.Gosched()
			}
			d.command(cmdQueueStatus)
			q := d.Host[queueArea:]
			if q[offStopped] != 1 || binary.LittleEndian.Uint32(q[offError:])>>31 == 0 {
				t.Errorf("%s: status %d, error %#x", test.name, q[offStopped], q[offError:offError+4])
			}
		} else {
			d.completion(0)
		}
		d.works()
	}
}

// TestHostileBuffers gives the card receive buffers that are none; frames are lost or wait, no more.
func TestHostileBuffers(t *testing.T) {
	frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 500))
	for name, attack := range map[string]func(at uint64, d *driver){
		"outside RAM": func(at uint64, d *driver) { d.put64(at, ^uint64(0)-500) },
		"empty":       func(at uint64, d *driver) { d.put32(at+8, rxGen) },
		"bodies":      func(at uint64, d *driver) { d.put32(at+8, rxGen|rxBody|1500) },
		"of a byte":   func(at uint64, d *driver) { d.put32(at+8, rxGen|1) },
	} {
		d := newDriver(t)
		d.start(1, 1)
		d.dev.Pause()
		for i := range uint64(entries - 1) {
			attack(ringAt(1)+i*descSize, d)
		}
		d.dev.Resume()
		for range 3 {
			d.link.Deliver(network.Header{}, frame)
		}
		runtime.Gosched()
		d.works()
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// TestRacingWriter changes everything that is shared while the card works on it.
func TestRacingWriter(t *testing.T) {
	d := newDriver(t)
	d.start(2, 2)
	frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 500))
	stop := memorytest.Beside(t, func(i int) {
		d.Host[sharedArea+rand.Uint64N(sharedArea*4)] = byte(rand.Uint32())
		d.Host[ringArea+rand.Uint64N(4*ringStride)] = byte(rand.Uint32())
		d.Write(0, regTXPROD, 4, uint64(i))
		if i%50 == 0 {
			d.describe(2, 2)
			d.command(cmdActivate)
		}
		d.command(cmdActivate&^0xff | uint32(rand.IntN(16)))
	})
	for range 300 {
		d.link.Deliver(network.Header{}, frame)
		runtime.Gosched()
	}
	stop()
	d.works()
}

// FuzzVmxnet3 plays a guest that writes what it likes to registers, shared areas and rings, with snapshots in between: whatever it does, the
// card works after a reset.
func FuzzVmxnet3(f *testing.F) {
	f.Add([]byte{})
	for op := range byte(10) {
		f.Add(bytes.Repeat([]byte{op, 0, 1, 0xfe, 0xca, 0, 0, op + 1, 3, 0, 0x0d, 0xf0, 0, 0, op + 2}, 10))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		d := newDriver(t)
		d.start(2, 2)
		for steps := 0; len(program) > 8 && steps < 200; steps++ {
			op, width := program[0]%10, int(program[0]/10)%8+1
			at := uint64(binary.LittleEndian.Uint16(program[1:]))
			v := binary.LittleEndian.Uint32(program[3:])
			program = program[7:]
			switch op {
			case 0:
				d.Write(int(at&1), at>>1%barSize, width, uint64(v)|uint64(v)<<32)
			case 1:
				d.Read(int(at&1), at>>1%barSize, width)
			case 2:
				d.command(cmdActivate | v%16)
			case 3:
				d.command(cmdQueueStatus | v%16)
			case 4, 5: // the card's worker must not run: it reads with the guest's ordering, which the race detector does not know
				d.dev.Pause()
				areas := [...]uint64{sharedArea, queueArea, ringAt(0), ringAt(1), ringAt(2), ringAt(2) + secondRing, ringAt(3)}
				copy(d.Host[areas[v%uint32(len(areas))]+at%720:], program[:min(16, len(program))])
				d.dev.Resume()
			case 6:
				d.link.Deliver(network.Header{}, nictest.Frame(station, nictest.Kind{V6: v&1 != 0, UDP: v&2 != 0}, make([]byte, at%9000)))
			case 7:
				d.dev.SetLink(v&1 != 0)
			case 8:
				d.queue(int(v%2), make([]byte, at%2000), v&^uint32(txGen|txLen), v)
				d.kick(int(v % 2))
			case 9:
				if steps%4 == 0 {
					statetest.Cycle(t, d.dev, func() state.Device {
						d.link = linktest.New(offers)
						d.msi = virtiotest.NewInterrupts()
						d.dev = newDevice(t, d.Board, d.link, d.msi)
						d.Plug(t, d.dev.Function())
						return d.dev
					})
				}
			}
			if len(d.queues) == 0 {
				t.Fatal("the test has no queues")
			}
		}
		d.SetConfig(4, 2, 7)
		d.works()
	})
}

// FuzzRestore feeds a card with states that nobody saved.
func FuzzRestore(f *testing.F) {
	d := newDriver(f)
	d.start(2, 2)
	d.dev.Pause()
	var w state.Writer
	d.dev.Save(&w)
	f.Add(w.Data())
	f.Fuzz(func(t *testing.T, saved []byte) {
		d := newDriver(t)
		d.describe(2, 2)
		d.dev.Pause()
		if err := d.dev.Restore(state.NewReader(saved)); err == nil {
			d.dev.Resume()
			d.Write(0, regTXPROD, 4, 1)
			d.command(cmdStats)
			d.link.Deliver(network.Header{}, nictest.Frame(station, nictest.Kind{}, make([]byte, 50)))
			d.works()
		}
	})
}

// BenchmarkTransmit is the way of 16 frames of 1514 bytes from the ring to the link and back.
func BenchmarkTransmit(b *testing.B) {
	d := newDriver(b)
	d.start(1, 1)
	d.link.Discard()
	const frames = 16
	frame := make([]byte, 1514)
	b.ReportAllocs()
	for b.Loop() {
		for range frames {
			d.queue(0, frame, 0, txEOP|txReport)
		}
		d.dev.port.TransmitEvent().Signal()
		for range frames {
			d.completion(0)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*frames), "ns/frame")
}

// BenchmarkReceive is the way of a frame of 1514 bytes from the port into the ring, without the link.
func BenchmarkReceive(b *testing.B) {
	d := newDriver(b)
	d.start(1, 1)
	d.refill(0) // none is left out: nothing else marks the end
	d.dev.Pause()
	frame := nictest.Received(b, nictest.Frame(station, nictest.Kind{}, make([]byte, 1448)))
	b.ReportAllocs()
	for b.Loop() {
		if !d.dev.Receive(frame) {
			b.Fatal("no room")
		}
		// The buffer again, with the generation that the ring wants next.
		q := &d.dev.rx[0].rings[0]
		used := (q.next + q.size - 1) % q.size
		d.put32(ringAt(1)+uint64(used)*descSize+8, bufSize|bit(q.generation != (used < q.next), rxGen))
	}
}
