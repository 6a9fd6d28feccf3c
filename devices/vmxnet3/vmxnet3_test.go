package vmxnet3

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"github.com/sharevm/vmm/devices/nic/nictest"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

func TestRegisters(t *testing.T) {
	d := newDriver(t)
	if id := d.Config(0, 4); id != 0x07b015ad {
		t.Errorf("identity %#x", id)
	}
	for off, want := range map[uint64]uint64{regVRRS: 1, regUVRS: 1, regMACL: 0x01565000, regMACH: 0x0302, regECR: 0} {
		if v := d.Read(1, off, 4); v != want {
			t.Errorf("register %#x: %#x", off, v)
		}
	}
	for c, want := range map[uint32]uint32{cmdPermanentLow: 0x01565000, cmdPermanentHigh: 0x0302, cmdLink: linkUp, cmdConfIntr: 0, 0xf00d00ff: 0} {
		if a := d.command(c); a != want {
			t.Errorf("command %#x: %#x", c, a)
		}
	}
	d.Write(1, regMACL, 4, 0x44332211)
	d.Write(1, regMACH, 4, 0x6655)
	if v := d.Read(1, regMACL, 4); v != 0x44332211 {
		t.Errorf("address %#x", v)
	}
	d.command(cmdReset)
	if v := d.Read(1, regMACL, 4); v != 0x01565000 {
		t.Errorf("address %#x after a reset", v)
	}
	d.dev.SetLink(false)
	if a := d.command(cmdLink); a != 0 {
		t.Errorf("link %#x", a)
	}
}

func TestTransmit(t *testing.T) {
	for _, tx := range []int{0, 1} {
		d := newDriver(t)
		d.start(2, 2)
		for i := range 3 * entries { // around the rings
			want := nictest.Frame(station, nictest.Kind{}, bytes.Repeat([]byte{byte(i)}, 10+i*10))
			before := d.queues[tx].fill
			d.queue(tx, want[:20], 0, 0)
			d.queue(tx, want[20:], 0, txEOP|txReport)
			d.kick(tx)
			if words := d.completion(tx); words[0] != (before+1)%entries || words[3]&^uint32(compGen) != 0 {
				t.Fatalf("completion %x", words)
			}
			if got := d.link.Sent(i + 1)[i]; !bytes.Equal(got[network.HeaderLen:], want) {
				t.Fatal("another frame")
			}
		}
		d.command(cmdStats)
		q := d.Host[queueArea+uint64(tx)*queueDescSize+offStats:]
		if n := binary.LittleEndian.Uint64(q[8*statUnicast:]); n != 3*entries {
			t.Errorf("%d frames are counted", n)
		}
	}
}

// TestOffloads leaves a checksum, a tag and segmentation to the card.
func TestOffloads(t *testing.T) {
	d := newDriver(t)
	d.start(1, 1)
	check := func(want []byte) (h network.Header) {
		t.Helper()
		d.kick(0)
		d.completion(0)
		got := d.link.Sent(1)[0]
		d.link.Forget()
		h = network.DecodeHeader(got)
		got = got[network.HeaderLen:]
		if err := h.Check(len(got), offers); err != nil {
			t.Error(err)
		}
		left := h
		if err := network.CompleteChecksum(got, &left); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("sent\n% x, want\n% x", got[:min(90, len(got))], want[:min(90, len(want))])
		}
		return h
	}
	want := nictest.Frame(station, nictest.Kind{}, []byte("a payload"))
	open := append([]byte{}, want...)
	binary.BigEndian.PutUint16(open[50:], network.Fold(network.SumBytes(0, want[26:34])+6+uint64(len(want)-34)))
	d.queue(0, open, 50<<txMSSShift, txEOP|txReport|txInsert|modeSum<<txMode|34|9<<16)
	if h := check(append(append(append([]byte{}, want[:12]...), 0x81, 0, 0, 9), want[12:]...)); h.Flags != network.FlagNeedsChecksum {
		t.Errorf("%+v", h)
	}
	for _, k := range []nictest.Kind{{}, {V6: true}} {
		whole := nictest.Frame(station, k, bytes.Repeat([]byte("segments "), 4000))
		headers := uint32(66)
		if k.V6 {
			headers = 86
		}
		d.queue(0, whole[:headers], 1448<<txMSSShift, modeTSO<<txMode|headers)
		rest := whole[headers:]
		d.queue(0, rest[:1<<14], 0, 0) // a length of 0
		rest = rest[1<<14:]
		d.queue(0, rest[:1<<14-1], 0, 0)
		d.queue(0, rest[1<<14-1:], 0, txEOP|txReport)
		if h := check(whole); h.GSOSize != 1448 || h.HdrLen != uint16(headers) {
			t.Errorf("%+v", h)
		}
	}
}

func TestReceive(t *testing.T) {
	d := newDriver(t)
	d.start(2, 2)
	d.Host[sharedArea+offVLANTable] = 1 << 7
	d.command(cmdVLANFilters)
	for i := range 3 * entries {
		k := nictest.Kind{V6: i%2 == 1, UDP: i%3 == 1}
		want := nictest.Frame(station, k, bytes.Repeat([]byte{byte(i)}, 30+i*5))
		d.link.Deliver(network.Header{}, want)
		got, words := d.receive(0)
		bits := uint32(compCRC | compSumOK)
		for _, b := range []struct {
			on  bool
			bit uint32
		}{{!k.V6, compV4 | compIPOK}, {k.V6, compV6}, {k.UDP, compUDP}, {!k.UDP, compTCP}} {
			bits |= bit(b.on, b.bit)
		}
		if !bytes.Equal(got, want) || words[3]&^uint32(compGen) != bits|compRx<<compType || words[0]&^0xfff != compSOP|compEOP {
			t.Fatalf("frame %d: %d bytes of %d, completion %x, want bits %x", i, len(got), len(want), words, bits)
		}
	}
	bad := nictest.Frame(station, nictest.Kind{VLAN: 0x2007}, []byte("checksums are wrong in this one"))
	bad[len(bad)-1]++
	d.link.Deliver(network.Header{}, bad)
	got, words := d.receive(0)
	if words[2]>>16 != 0x2007 || words[2]&compTag == 0 || words[3]&compSumOK != 0 || !bytes.Equal(got, append(append([]byte{}, bad[:12]...), bad[16:]...)) {
		t.Errorf("completion %x", words)
	}
	d.put64(sharedArea+offFeatures, 0)
	d.command(cmdFeature)
	d.link.Deliver(network.Header{}, bad)
	if got, words = d.receive(0); words[0]&compNoSums == 0 || !bytes.Equal(got, bad) {
		t.Errorf("without features: completion %x", words)
	}
}

// TestLongFrame spreads a jumbo frame over a buffer of the first ring and several of the second.
func TestLongFrame(t *testing.T) {
	d := newDriver(t)
	d.start(1, 1)
	for i := range uint64(3) {
		at := ringAt(1) + secondRing + i*descSize
		d.dev.mu.Lock()
		d.put64(at, 0x200000+i*4096)
		d.put32(at+8, 4096|rxBody|rxGen)
		d.dev.mu.Unlock()
	}
	want := nictest.Frame(station, nictest.Kind{}, bytes.Repeat([]byte("jumbo"), 1700))
	d.link.Deliver(network.Header{}, want) // longer than the MTU: dropped
	d.link.AwaitTaken(1)
	d.dev.Pause()
	d.put32(sharedArea+offMTU, 9000)
	d.command(cmdFeature)
	d.dev.Resume()
	d.link.Deliver(network.Header{}, want)
	var got []byte
	for i := 0; ; i++ {
		words := d.completion(1)
		at, index := uint64(rxData), uint64(words[0]&0xfff)
		if i > 0 {
			at = 0x200000 + index*4096
			if q := words[0] >> compQueue & 0x3ff; q != 1 {
				t.Errorf("ring %d", q)
			}
		}
		got = append(got, d.Host[at:at+uint64(words[2]&rxLen)]...)
		if words[0]&compSOP != 0 != (i == 0) {
			t.Errorf("start of packet in piece %d", i)
		}
		if words[0]&compEOP != 0 {
			break
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d", len(got), len(want))
	}
}

// TestFilters sends one frame that is to pass behind each that may not.
func TestFilters(t *testing.T) {
	multicast := [6]byte{1, 0, 0x5e, 1, 2, 3}
	stranger := [6]byte{2, 9, 9, 9, 9, 9}
	everybody := [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	for _, test := range []struct {
		name   string
		to     [6]byte
		vlan   uint16
		mode   uint32
		passes bool
	}{
		{"broadcast", everybody, 0, rxUnicast | rxBroadcast, true},
		{"no broadcast", everybody, 0, rxUnicast, false},
		{"a stranger's", stranger, 0, rxUnicast, false},
		{"promiscuous", stranger, 0, rxUnicast | rxPromisc, true},
		{"promiscuous, VLAN", stranger, 5, rxUnicast | rxPromisc, true},
		{"multicast", multicast, 0, rxUnicast, false},
		{"all multicast", multicast, 0, rxUnicast | rxAllMulti, true},
		{"multicast table", multicast, 0, rxUnicast | rxMulticast, true},
		{"multicast, not in the table", [6]byte{1, 9}, 0, rxUnicast | rxMulticast, false},
		{"VLAN", station, 5, rxUnicast, false},
		{"VLAN in the table", station, 9, rxUnicast, true},
	} {
		d := newDriver(t)
		d.start(1, 1)
		d.Host[sharedArea+offVLANTable+1] = 1 << 1
		copy(d.Host[tableArea:], append([]byte{1, 2, 3, 4, 5, 6}, multicast[:]...))
		d.put64(sharedArea+offTableAddr, tableArea)
		d.Host[sharedArea+offTableLen] = 12
		d.put32(sharedArea+offRxMode, test.mode)
		d.command(cmdRxMode)
		first := nictest.Frame(test.to, nictest.Kind{VLAN: test.vlan}, []byte("perhaps, if the filter lets it pass"))
		last := nictest.Frame(station, nictest.Kind{}, []byte("in any case, whatever the filter says"))
		d.link.Deliver(network.Header{}, first)
		d.link.Deliver(network.Header{}, last)
		got, _ := d.receive(0)
		if passed := got[0] == first[0] && got[1] == first[1] && !bytes.Equal(got, last); passed != test.passes {
			t.Errorf("%s: passed %v", test.name, passed)
		}
	}
}

// TestRSS sends connections to both queues, by the hash that their completions name.
func TestRSS(t *testing.T) {
	d := newDriver(t)
	d.describe(1, 2)
	conf := d.Host[rssArea:][:rssConfSize]
	conf[offHashType], conf[offTableSize] = 0xf, 8
	for i := range 40 {
		conf[offHashKey+i] = byte(i * 37)
	}
	for i := range 8 {
		conf[offIndexTable+i] = byte(i % 2)
	}
	d.put64(sharedArea+offFeatures, featureRSS)
	d.put32(sharedArea+offRSSLen, rssConfSize)
	d.put64(sharedArea+offRSSAddr, rssArea)
	if d.command(cmdActivate) != 0 {
		t.Fatal("activation failed")
	}
	for i := range 2 {
		for range entries - 1 {
			d.refill(i)
		}
	}
	for i := range 20 {
		frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 40))
		frame[34] = byte(i)
		d.link.Deliver(network.Header{}, frame)
	}
	d.link.AwaitTaken(20)
	d.dev.Pause()
	d.dev.Resume()
	counts := [2]int{}
	for rx := range 2 {
		for d.Host[ringAt(1+rx)+compRing+uint64(d.queues[1+rx].comp)*descSize+15]&0x80 != 0 && counts[rx] < 20 {
			words := d.completion(1 + rx)
			if words[0]>>compHash&15 != 2 || int(words[1]%8%2) != rx || words[0]>>compQueue&0x3ff != uint32(rx) {
				t.Errorf("queue %d: completion %x", rx, words)
			}
			counts[rx]++
		}
	}
	if counts[0] == 0 || counts[1] == 0 || counts[0]+counts[1] != 20 {
		t.Errorf("%v frames", counts)
	}
}

// TestMSIX sends each queue's interrupt to its vector, masks it with that, and pends what comes meanwhile.
func TestMSIX(t *testing.T) {
	d := newDriver(t)
	d.enableMSIX()
	d.start(2, 2)
	for v := range uint64(5) {
		d.Write(0, regIMR+regStride*v, 4, 0)
	}
	frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 50))
	for i := range 2 {
		d.queue(i, frame, 0, txEOP|txReport)
		d.kick(i)
		<-d.msi.Channel(100 + uint32(i))
	}
	for range 2 {
		d.link.Deliver(network.Header{}, frame)
		d.receive(0)
	}
	<-d.msi.Channel(102)
	if d.msi.Count(102) != 1 || d.Read(0, regIMR+regStride*2, 4) != 1 {
		t.Errorf("%d messages, not masked by itself", d.msi.Count(102))
	}
	d.Write(0, regIMR+regStride*2, 4, 0)
	<-d.msi.Channel(102)
	d.dev.SetLink(false)
	<-d.msi.Channel(104)
	if e := d.Read(1, regECR, 4); e != ecrLink {
		t.Errorf("events %#x", e)
	}
	d.Write(1, regECR, 4, ecrLink)
	if e := binary.LittleEndian.Uint32(d.Host[sharedArea+offECR:]); e != 0 {
		t.Errorf("events %#x after they were seen", e)
	}
	// Switched off as a whole, then on again by a mask.
	d.put32(sharedArea+offIntrCtrl, intrDisableAll)
	d.Write(0, regIMR+regStride*4, 4, 0)
	before := d.msi.Count(104)
	d.dev.SetLink(true)
	if d.msi.Count(104) != before {
		t.Error("an interrupt although all are off")
	}
	d.put32(sharedArea+offIntrCtrl, 0)
	d.Write(0, regIMR+regStride*4, 4, 0)
	<-d.msi.Channel(104)
	if d.Line() {
		t.Error("the pin is high")
	}
}

func (d *driver) enableMSIX() {
	for at := d.Config(0x34, 1); at != 0; at = d.Config(int(at)+1, 1) {
		if d.Config(int(at), 1) == 0x11 {
			for i := range uint64(vectors) {
				d.Write(2, i*16, 8, 0xfee00000)
				d.Write(2, i*16+8, 8, 100+i)
			}
			d.SetConfig(int(at)+2, 2, 0x8000)
		}
	}
}

func TestINTx(t *testing.T) {
	d := newDriver(t)
	d.start(1, 1)
	for v := range uint64(3) {
		d.Write(0, regIMR+regStride*v, 4, 0)
	}
	d.link.Deliver(network.Header{}, nictest.Frame(station, nictest.Kind{}, make([]byte, 50)))
	d.AwaitLine(true)
	if d.Read(1, regICR, 4) != 1 || d.Line() || d.Read(1, regICR, 4) != 0 {
		t.Error("reading the cause does not clear it")
	}
}

// TestResetInFlight stops the card while the link has a frame of its in hand: nothing is completed, and the card starts again.
func TestResetInFlight(t *testing.T) {
	for name, command := range map[string]uint32{"reset": cmdReset, "quiesce": cmdQuiesce, "activated again": cmdActivate} {
		d := newDriver(t)
		d.start(1, 1)
		frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 50))
		d.link.Block(true)
		d.queue(0, frame, 0, txEOP|txReport)
		d.kick(0)
		d.link.AwaitWriter()
		d.Host[ringAt(0)+9] = 0 // not again
		d.command(command)
		d.link.Block(false)
		d.dev.Pause()
		d.dev.Resume()
		if d.Host[ringAt(0)+compRing+15] != 0 {
			t.Errorf("%s: a frame from before was completed", name)
		}
		d.works()
	}
}

// works starts the card anew and has it send and receive one frame.
func (d *driver) works() {
	d.t.Helper()
	d.command(cmdReset)
	d.link.Forget()
	d.dev.SetLink(true)
	d.start(1, 1)
	want := nictest.Frame(station, nictest.Kind{}, []byte("after everything that was done to it"))
	d.queue(0, want, 0, txEOP|txReport)
	d.kick(0)
	d.completion(0)
	sent := d.link.Sent(1)
	if got := sent[len(sent)-1]; !bytes.Equal(got[network.HeaderLen:], want) {
		d.t.Errorf("sent % x", got)
	}
	d.link.Deliver(network.Header{}, want)
	for range 1000 { // frames of before may come first
		if got, _ := d.receive(0); bytes.Equal(got, want) {
			return
		}
	}
	d.t.Error("the card does not receive any more")
}

// TestWaitsForBuffers: without a buffer a frame waits, and the driver is asked to ring.
func TestWaitsForBuffers(t *testing.T) {
	d := newDriver(t)
	d.describe(1, 1)
	d.command(cmdActivate)
	starved := func() bool {
		d.dev.mu.Lock()
		defer d.dev.mu.Unlock()
		return d.Host[queueArea+queueDescSize+offUpdateProd] != 0
	}
	want := nictest.Frame(station, nictest.Kind{}, []byte("waits until there is a buffer for it"))
	d.link.Deliver(network.Header{}, want)
	for !starved() {
		runtime.Gosched()
	}
	for range 4 {
		d.refill(0)
	}
	if got, _ := d.receive(0); !bytes.Equal(got, want) {
		t.Error("another frame")
	}
	if starved() {
		t.Error("the driver is still asked to ring")
	}
	// A driver that does not ring is found out.
	d.refill(0)
	d.link.Deliver(network.Header{}, want)
	d.receive(0)
}

func TestSnapshot(t *testing.T) {
	d := newDriver(t)
	d.start(2, 2)
	d.Write(0, regIMR+regStride*2, 4, 0)
	for range 2 {
		frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 50))
		for range 40 { // beyond the end of the rings
			d.link.Deliver(network.Header{}, frame)
			if got, _ := d.receive(0); !bytes.Equal(got, frame) {
				t.Fatal("another frame")
			}
			d.queue(1, frame, 0, txEOP|txReport)
			d.kick(1)
			d.completion(1)
		}
		statetest.Cycle(t, d.dev, func() state.Device {
			d.link = linktest.New(offers)
			d.dev = newDevice(t, d.Board, d.link, d.msi)
			d.Plug(t, d.dev.Function())
			return d.dev
		})
		if !d.Line() {
			t.Error("the interrupt is lost")
		}
	}
}

func TestNewRefuses(t *testing.T) {
	b := nictest.NewBoard(t)
	for name, c := range map[string]Config{
		"multicast": {MAC: [6]byte{1}, Link: linktest.New(0), Memory: b.RAM},
		"no link":   {Memory: b.RAM},
	} {
		if _, err := New(c); err == nil || !strings.HasPrefix(err.Error(), "vmxnet3: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
