package e1000

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"runtime"
	"strings"
	"testing"

	"github.com/sharevm/vmm/devices/nic/nictest"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

func TestIdentity(t *testing.T) {
	for m, want := range map[Model]uint64{Model82545EM: 0x100f8086, Model82574L: 0x10d38086} {
		d := newDriver(t, m)
		if got := d.Config(0, 4); got != want {
			t.Errorf("%#x, want %#x", got, want)
		}
		if sub := d.Config(0x2c, 2); sub != 0x15ad {
			t.Errorf("subsystem vendor %#x", sub)
		}
	}
}

// TestEEPROM reads all words by EERD, and on the 82545EM by its wires too.
func TestEEPROM(t *testing.T) {
	both(t, func(t *testing.T, m Model) {
		d := newDriver(t, m)
		sum := uint16(0)
		var words [eepromWords]uint16
		for i := range uint32(eepromWords) {
			d.put(regEERD, i<<d.dev.model.eerdAddress|eerdStart)
			v := d.get(regEERD)
			if v&d.dev.model.eerdDone == 0 {
				t.Fatal("the read is not done")
			}
			words[i] = uint16(v >> 16)
			sum += words[i]
		}
		if sum != eepromChecksum {
			t.Errorf("sum %#x", sum)
		}
		if !bytes.Equal([]byte{byte(words[0]), byte(words[0] >> 8), byte(words[1]), byte(words[1] >> 8), byte(words[2]), byte(words[2] >> 8)}, station[:]) {
			t.Errorf("address % x", words[:3])
		}
		if low, high := d.get(regRA), d.get(regRA+4); low != uint32(words[0])|uint32(words[1])<<16 || high != uint32(words[2])|rahValid {
			t.Errorf("receive address %#x %#x", low, high)
		}
		d.put(regEERD, 0xffff)
		if d.get(regEECD)&eecdPresent == 0 {
			t.Error("no EEPROM")
		}
		for i, want := range words {
			if got := d.wireRead(uint32(i)); got != want {
				t.Errorf("word %#x by wire: %#x, want %#x", i, got, want)
			}
		}
	})
}

// wireRead reads a word as a driver that moves the wires.
func (d *driver) wireRead(address uint32) (v uint16) {
	d.put(regEECD, eecdRequest)
	if d.get(regEECD)&eecdGrant == 0 {
		d.t.Fatal("the EEPROM is not granted")
	}
	out := func(bits, n uint32) {
		for i := int(n) - 1; i >= 0; i-- {
			in := bits >> i & 1 * eecdIn
			d.put(regEECD, eecdRequest|eecdSelect|in)
			d.put(regEECD, eecdRequest|eecdSelect|in|eecdClock)
			d.put(regEECD, eecdRequest|eecdSelect|in)
		}
	}
	out(microwireRead, microwireBits)
	out(address, addressBits)
	for range 16 {
		d.put(regEECD, eecdRequest|eecdSelect|eecdClock)
		v <<= 1
		if d.get(regEECD)&eecdOut != 0 {
			v |= 1
		}
		d.put(regEECD, eecdRequest|eecdSelect)
	}
	d.put(regEECD, 0)
	return v
}

func (d *driver) mdio(op, n, v uint32) uint32 {
	d.put(regMDIC, v|n<<mdicRegister|phyAddress<<mdicPHY|op<<mdicOp)
	return d.get(regMDIC)
}

func TestPHY(t *testing.T) {
	both(t, func(t *testing.T, m Model) {
		d := newDriver(t, m)
		read := func(n uint32) uint32 {
			v := d.mdio(mdicOpRead, n, 0)
			if v&mdicReady == 0 || v&mdicError != 0 || v>>mdicRegister&31 != n {
				t.Errorf("register %d: %#x", n, v)
			}
			return v & 0xffff
		}
		if id := read(phyID1)<<16 | read(phyID2); id != d.dev.model.phy {
			t.Errorf("identity %#x", id)
		}
		if s := read(phyStatus); s&(phyLink|phyNegotiated) != phyLink|phyNegotiated {
			t.Errorf("status %#x", s)
		}
		d.mdio(mdicOpWrite, phyAdvertise, 0x1e1)
		d.mdio(mdicOpWrite, phyID1, 0)
		if v := read(phyAdvertise); v != 0x1e1 {
			t.Errorf("advertisement %#x", v)
		}
		d.mdio(mdicOpWrite, phyControl, phyReset)
		if v := read(phyAdvertise); v != 0x0de1 || read(phyControl)&phyReset != 0 {
			t.Errorf("after a reset: advertisement %#x", v)
		}
		d.put(regMDIC, 2<<mdicPHY|mdicOpRead<<mdicOp)
		if d.get(regMDIC)&mdicError == 0 {
			t.Error("another PHY answers")
		}
		d.dev.SetLink(false)
		if read(phyStatus)&phyLink != 0 || read(phyPartner) != 0 || d.get(regSTATUS)&statusLinkUp != 0 {
			t.Error("the link is up")
		}
		if d.get(regICR)&icrLSC == 0 {
			t.Error("nobody was told")
		}
		d.dev.SetLink(true)
		if d.get(regSTATUS)&statusLinkUp == 0 || d.get(regICR)&icrLSC == 0 {
			t.Error("the link is down")
		}
	})
}

// TestTransmit sends by each kind of descriptor.
func TestTransmit(t *testing.T) {
	both(t, func(t *testing.T, m Model) {
		d := newDriver(t, m)
		d.start(0)
		want := nictest.Frame(station, nictest.Kind{}, []byte("by a legacy descriptor"))
		d.queue(d.store(want[:20]), 20, 0)
		d.queue(d.store(want[20:]), uint32(len(want)-20)|txdEOP|txdReport, 0)
		d.kick()
		if got := d.link.Sent(1)[0]; !bytes.Equal(got[network.HeaderLen:], want) {
			t.Error("another frame")
		}
		if d.Host[txRing+12]&doneBit != 0 || d.Host[txRing+descriptorSize+12]&doneBit == 0 {
			t.Error("the descriptor that asked for it, and no other, should be given back")
		}
		// A legacy descriptor with a checksum to insert.
		d.link.Forget()
		open := append([]byte{}, want...)
		binary.BigEndian.PutUint16(open[50:], pseudo(want, 34))
		d.queue(d.store(open), uint32(len(open))|txdEOP|txdReport|txdInsert|50<<16, 34<<8)
		d.kick()
		d.check(want)
		// A context, and data with checksums and a tag to insert.
		d.link.Forget()
		d.put(regCTRL, d.get(regCTRL)|ctrlVLAN)
		open[24], open[25] = 0, 0
		d.queue(14|24<<8|33<<16|34<<32|50<<40, txdExtended, 0)
		d.data(open[:60], 0, txdIP|txdTransport, 0)
		d.data(open[60:], txdEOP|txdReport|txdVLAN, 0, 0x1005)
		d.kick()
		d.check(append(append(append([]byte{}, want[:12]...), 0x81, 0, 0x10, 5), want[12:]...))
		// Segmentation.
		d.link.Forget()
		whole := nictest.Frame(station, nictest.Kind{}, bytes.Repeat([]byte("segments "), 1000))
		hollow := append([]byte{}, whole...)
		hollow[16], hollow[17], hollow[24], hollow[25] = 0, 0, 0, 0
		d.queue(14|24<<8|33<<16|34<<32|50<<40, txdExtended|contextTCP|1<<26|9000, 66<<8|1448<<16)
		d.data(hollow[:66], txdSegment, txdIP|txdTransport, 0)
		d.data(hollow[66:], txdSegment|txdEOP|txdReport, 0, 0)
		d.kick()
		got := d.check(whole)
		if got.GSOType != network.GSOTCPv4|network.GSOECN || got.GSOSize != 1448 {
			t.Errorf("header %+v", got)
		}
		if n := d.get(statGPTC); n != 4 {
			t.Errorf("%d frames are counted", n)
		}
		if d.get(statGPTC) != 0 {
			t.Error("the count does not clear")
		}
	})
}

// pseudo is the sum of a TCP segment's pseudo header.
func pseudo(frame []byte, transport int) uint16 {
	return network.Fold(network.SumBytes(0, frame[26:34]) + 6 + uint64(len(frame)-transport))
}

// check compares the first frame that was sent, with its checksum completed, and returns its header.
func (d *driver) check(want []byte) network.Header {
	d.t.Helper()
	got := d.link.Sent(1)[0]
	h := network.DecodeHeader(got)
	got = got[network.HeaderLen:]
	if err := h.Check(len(got), offers); err != nil {
		d.t.Error(err)
	}
	left := h
	if err := network.CompleteChecksum(got, &left); err != nil {
		d.t.Error(err)
	}
	if !bytes.Equal(got, want) {
		d.t.Errorf("sent\n% x, want\n% x", got[:min(len(got), 80)], want[:min(len(want), 80)])
	}
	return h
}

// TestSecondQueue sends by the 82574's second queue.
func TestSecondQueue(t *testing.T) {
	d := newDriver(t, Model82574L)
	d.start(0)
	const ring = txRing + 0x8000
	want := nictest.Frame(station, nictest.Kind{}, []byte("by the second queue"))
	binary.LittleEndian.PutUint64(d.Host[ring:], d.store(want))
	binary.LittleEndian.PutUint32(d.Host[ring+8:], uint32(len(want))|txdEOP|txdReport)
	d.put(regTX+queueStride+qBaseLow, ring)
	d.put(regTX+queueStride+qLength, 128)
	d.put(regTX+queueStride+qTail, 1)
	d.check(want)
	for d.get(regICS)&(icrTXQ0<<1) == 0 {
		runtime.Gosched()
	}
}

func TestReceive(t *testing.T) {
	both(t, func(t *testing.T, m Model) {
		for _, extended := range []bool{false, true} {
			if extended && m == Model82545EM {
				continue
			}
			d := newDriver(t, m)
			if extended {
				d.put(regRFCTL, rfctlExtended)
			}
			d.put(regRXCSUM, rxcsumIP|rxcsumTransport)
			d.put(regCTRL, d.get(regCTRL)|ctrlVLAN)
			d.start(0)
			state := func(desc [descriptorSize]byte) (status, errors byte, tag uint16) {
				if extended {
					return desc[8], desc[11], binary.LittleEndian.Uint16(desc[14:])
				}
				return desc[12], desc[13], binary.LittleEndian.Uint16(desc[14:])
			}
			for i := range 2 * entries { // around the ring
				want := nictest.Frame(station, nictest.Kind{UDP: i%3 == 1}, bytes.Repeat([]byte{byte(i)}, 20+i*20))
				d.link.Deliver(network.Header{}, want)
				got, desc := d.receive()
				if status, errors, _ := state(desc); !bytes.Equal(got, want) || errors != 0 || status&^statusUDP != statusDone|statusEOP|statusTCP|statusIP {
					t.Fatalf("extended %v, frame %d: %d bytes of %d, status %#x, errors %#x", extended, i, len(got), len(want), status, errors)
				}
			}
			bad := nictest.Frame(station, nictest.Kind{VLAN: 0x2007}, []byte("checksums are wrong in this one"))
			bad[len(bad)-1]++
			d.link.Deliver(network.Header{}, bad)
			got, desc := d.receive()
			status, errors, tag := state(desc)
			if status&statusVLAN == 0 || tag != 0x2007 || errors != errorTCP || !bytes.Equal(got, append(append([]byte{}, bad[:12]...), bad[16:]...)) {
				t.Errorf("extended %v: status %#x, errors %#x, tag %#x, % x", extended, status, errors, tag, got)
			}
			// With the CRC, and without a word of checksums.
			d.put(regRXCSUM, 0)
			d.put(regRCTL, d.get(regRCTL)&^rctlStripCRC)
			want := nictest.Frame(station, nictest.Kind{}, []byte("the checksum of the frame follows"))
			d.link.Deliver(network.Header{}, want)
			got, desc = d.receive()
			if n := len(got) - 4; n != len(want) || binary.LittleEndian.Uint32(got[n:]) != crc32.ChecksumIEEE(want) {
				t.Errorf("extended %v: %d bytes", extended, len(got))
			}
			if status, _, _ := state(desc); status&statusNoSums == 0 {
				t.Errorf("extended %v: status %#x", extended, status)
			}
		}
	})
}

// TestLongFrame spreads a jumbo frame over several descriptors.
func TestLongFrame(t *testing.T) {
	both(t, func(t *testing.T, m Model) {
		d := newDriver(t, m)
		d.start(rctlLong)
		want := nictest.Frame(station, nictest.Kind{}, bytes.Repeat([]byte("jumbo"), 1000))
		d.link.Deliver(network.Header{}, want)
		var got []byte
		for i := 0; ; i++ {
			part, desc := d.receive()
			got = append(got, part...)
			if desc[12]&statusEOP != 0 {
				if i != 2 {
					t.Errorf("%d descriptors", i+1)
				}
				break
			}
		}
		if !bytes.Equal(got, want) {
			t.Error("another frame")
		}
	})
}

// TestPacketSplit receives header and payload apart.
func TestPacketSplit(t *testing.T) {
	d := newDriver(t, Model82574L)
	d.put(regRFCTL, rfctlExtended)
	d.put(regPSRCTL, 2|4<<8|4<<16|4<<24) // 256 bytes, 4 KiB, ...
	d.start(rctlLong | rctlSplit)
	for i := range uint64(4) {
		for k := range uint64(4) {
			binary.LittleEndian.PutUint64(d.Host[rxRing+i*splitSize+8*k:], rxData+(4*i+k)*4096)
		}
	}
	d.put(regRX+qTail, 3)
	want := nictest.Frame(station, nictest.Kind{}, bytes.Repeat([]byte("split"), 1000))
	d.link.Deliver(network.Header{}, want)
	for d.get(regRX+qHead) == 0 {
		runtime.Gosched()
	}
	desc := d.Host[rxRing:][:splitSize]
	if n := binary.LittleEndian.Uint16(desc[splitHeader:]); n != headerSplit|66 {
		t.Errorf("header %#x", n)
	}
	got := append([]byte{}, d.Host[rxData:][:binary.LittleEndian.Uint16(desc[12:])]...)
	for i := range uint64(3) {
		got = append(got, d.Host[rxData+(i+1)*4096:][:binary.LittleEndian.Uint16(desc[splitLengths+2*i:])]...)
	}
	if !bytes.Equal(got, want) || desc[8]&(statusDone|statusEOP) != statusDone|statusEOP {
		t.Errorf("%d bytes of %d, status %#x", len(got), len(want), desc[8])
	}
}

// TestFilters sends one frame that is to pass behind each that is not.
func TestFilters(t *testing.T) {
	multicast := [6]byte{1, 0, 0x5e, 1, 2, 3}
	stranger := [6]byte{2, 9, 9, 9, 9, 9}
	everybody := [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	both(t, func(t *testing.T, m Model) {
		for _, test := range []struct {
			name   string
			to     [6]byte
			vlan   uint16
			rctl   uint32 // on top
			setup  func(d *driver)
			passes bool
		}{
			{"broadcast", everybody, 0, 0, nil, true},
			{"a stranger's", stranger, 0, 0, nil, false},
			{"promiscuous", stranger, 0, rctlUnicastAll, nil, true},
			{"a second address", stranger, 0, 0, func(d *driver) { d.put(regRA+8, 0x09090902); d.put(regRA+12, 0x0909|rahValid) }, true},
			{"an address that is not valid", stranger, 0, 0, func(d *driver) { d.put(regRA+8, 0x09090902); d.put(regRA+12, 0x0909) }, false},
			{"multicast", multicast, 0, 0, nil, false},
			{"all multicast", multicast, 0, rctlMultiAll, nil, true},
			{"multicast table", multicast, 0, 0, func(d *driver) { d.put(regMTA+0x30>>5*4, 1<<(0x30&31)) }, true},
			{"multicast table, other bits", multicast, 0, 3 << 12, func(d *driver) { d.put(regMTA+(0x302>>5)*4, 1<<(0x302&31)) }, true},
			{"VLAN", station, 5, rctlVLANFilter, nil, false},
			{"VLAN in the table", station, 5, rctlVLANFilter, func(d *driver) { d.put(regVFTA, 1<<5) }, true},
		} {
			d := newDriver(t, m)
			if test.setup != nil {
				test.setup(d)
			}
			d.start(test.rctl)
			first := nictest.Frame(test.to, nictest.Kind{VLAN: test.vlan}, []byte("perhaps, if the filter lets it pass"))
			last := nictest.Frame(station, nictest.Kind{}, []byte("in any case, whatever the filter says"))
			if test.name == "multicast table" { // bits 47:36 of the address: 0x030
				if at := (uint64(multicast[4]) | uint64(multicast[5])<<8) >> 4; at != 0x30 {
					t.Fatalf("the test is wrong: %#x", at)
				}
			}
			d.link.Deliver(network.Header{}, first)
			d.link.Deliver(network.Header{}, last)
			got, _ := d.receive()
			if passed := bytes.Equal(got, first); passed != test.passes || !passed && !bytes.Equal(got, last) {
				t.Errorf("%s: passed %v", test.name, passed)
			}
		}
	})
}

// TestINTx follows the pin through mask and cause.
func TestINTx(t *testing.T) {
	both(t, func(t *testing.T, m Model) {
		d := newDriver(t, m)
		d.start(0)
		d.put(regIMS, icrRXT0|icrLSC)
		if d.Line() {
			t.Error("high without a cause")
		}
		d.link.Deliver(network.Header{}, nictest.Frame(station, nictest.Kind{}, make([]byte, 50)))
		d.AwaitLine(true)
		if d.get(regICR)&icrRXT0 == 0 || d.Line() {
			t.Error("reading the cause does not clear it")
		}
		d.put(regICS, icrLSC)
		if !d.Line() {
			t.Error("low with a cause")
		}
		d.put(regIMC, icrLSC)
		if d.Line() {
			t.Error("high with all masked")
		}
		d.put(regIMS, icrLSC)
		d.put(regCTRL, ctrlReset)
		if d.Line() || d.get(regIMS) != 0 {
			t.Error("after a reset")
		}
	})
}

// TestMSIX sends each cause to its vector, clears and masks by EIAC and IAM, and spaces out by EITR.
func TestMSIX(t *testing.T) {
	d := newDriver(t, Model82574L)
	at := d.capability(0x11)
	for i := range uint64(msixVectors) {
		d.Write(3, i*16, 8, 0xfee00000)
		d.Write(3, i*16+8, 8, 100+i)
	}
	d.SetConfig(at+2, 2, 0x8000)
	d.start(0)
	d.put(regIVAR, 8|9<<8|10<<16) // RXQ0, TXQ0 and others to 0, 1, 2
	d.put(regCTRLEXT, extEIAME)
	d.put(regIAM, icrRXQ0)
	d.put(regEIAC, icrRXQ0|icrTXQ0)
	d.put(regIMS, icrRXQ0|icrTXQ0|icrOther|icrLSC)
	frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 50))
	d.link.Deliver(network.Header{}, frame)
	<-d.msi.Channel(100)
	d.receive()
	if d.get(regIMS)&icrRXQ0 != 0 || d.get(regICS)&icrRXQ0 != 0 {
		t.Error("the cause was neither masked nor cleared")
	}
	d.link.Deliver(network.Header{}, frame)
	d.receive()
	if d.msi.Count(100) != 1 {
		t.Error("a masked vector fired")
	}
	d.put(regIMS, icrRXQ0)
	<-d.msi.Channel(100)
	d.queue(d.store(frame), uint32(len(frame))|txdEOP|txdReport, 0)
	d.kick()
	<-d.msi.Channel(101)
	d.dev.SetLink(false)
	<-d.msi.Channel(102)
	if v := d.get(regICR); v&(icrLSC|icrOther|icrAsserted) != icrLSC|icrOther|icrAsserted {
		t.Errorf("causes %#x", v)
	}
	if d.Line() {
		t.Error("the pin is high")
	}
	// Two interrupts within the interval are one; the second comes at its end.
	d.put(regEITR+8, 0xffff)
	d.put(regICS, icrOther)
	<-d.msi.Channel(102)
	d.get(regICR)
	d.put(regICS, icrOther)
	if d.msi.Count(102) != 2 {
		t.Error("not spaced out")
	}
	<-d.msi.Channel(102)
}

func (d *driver) capability(id uint64) int {
	for at := d.Config(0x34, 1); at != 0; at = d.Config(int(at)+1, 1) {
		if d.Config(int(at), 1) == id {
			return int(at)
		}
	}
	d.t.Fatalf("no capability %#x", id)
	return 0
}

func TestMSI(t *testing.T) {
	d := newDriver(t, Model82574L)
	at := d.capability(5)
	d.SetConfig(at+4, 4, 0xfee00000)
	d.SetConfig(at+12, 2, 55)
	d.SetConfig(at+2, 2, 1)
	d.put(regCTRLEXT, extIAME)
	d.put(regIAM, 0xffffffff)
	d.put(regIMS, icrLSC)
	for range 3 {
		d.put(regICS, icrLSC)
		<-d.msi.Channel(55)
		if d.get(regICR)&icrLSC == 0 || d.get(regIMS) != 0 {
			t.Error("reading the causes does not mask them")
		}
		d.put(regIMS, icrLSC)
	}
	if n := d.msi.Count(55); n != 3 || d.Line() {
		t.Errorf("%d messages", n)
	}
}

// TestRSS sends connections to both queues.
func TestRSS(t *testing.T) {
	d := newDriver(t, Model82574L)
	d.put(regRFCTL, rfctlExtended)
	d.put(regRXCSUM, rxcsumNoPacket)
	for i := range uint64(10) {
		d.put(regRSSRK+4*i, 0x9e3779b9*uint32(i+1))
	}
	for i := range uint64(32) {
		d.put(regRETA+4*i, 0x80008000)
	}
	d.put(regMRQC, rssEnable|1<<16)
	d.start(0)
	d.put(regRX+queueStride+qBaseLow, rxRing+0x8000)
	d.put(regRX+queueStride+qLength, entries*descriptorSize)
	d.put(regRX+queueStride+qTail, entries-1)
	for i := range 20 {
		frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 40))
		frame[34] = byte(i)
		d.link.Deliver(network.Header{}, frame)
	}
	var a, b uint32
	for a+b != 20 {
		a, b = d.get(regRX+qHead), d.get(regRX+queueStride+qHead)
	}
	if a == 0 || b == 0 {
		t.Errorf("%d and %d frames", a, b)
	}
	if kind := d.Host[rxRing] & 15; kind != 1 {
		t.Errorf("kind of hash %d", kind)
	}
}

// TestResetInFlight resets the card while the link has a frame of its in hand: nothing is written back, and the card works on.
func TestResetInFlight(t *testing.T) {
	both(t, func(t *testing.T, m Model) {
		d := newDriver(t, m)
		d.start(0)
		frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 50))
		d.link.Block(true)
		d.queue(d.store(frame), uint32(len(frame))|txdEOP|txdReport, 0)
		d.put(regTX+qTail, d.tail)
		d.link.AwaitWriter()
		d.put(regCTRL, ctrlReset)
		d.put(regIMS, icrTXDW)
		d.link.Block(false)
		d.dev.Pause()
		d.dev.Resume()
		if d.Host[txRing+12]&doneBit != 0 || d.get(regICS) != 0 {
			t.Error("a frame from before the reset was completed")
		}
		d.start(0)
		d.queue(d.store(frame), uint32(len(frame))|txdEOP|txdReport, 0)
		d.kick()
		d.link.Deliver(network.Header{}, frame)
		if got, _ := d.receive(); !bytes.Equal(got, frame) {
			t.Error("another frame")
		}
	})
}

// TestWaitsForDescriptors: without a descriptor a frame waits.
func TestWaitsForDescriptors(t *testing.T) {
	both(t, func(t *testing.T, m Model) {
		d := newDriver(t, m)
		d.start(0)
		d.put(regRX+qTail, 2)
		var want [][]byte
		for i := range 5 {
			want = append(want, nictest.Frame(station, nictest.Kind{}, bytes.Repeat([]byte{byte(i)}, 30)))
			d.link.Deliver(network.Header{}, want[i])
		}
		for d.get(regRX+qHead) != 2 {
			runtime.Gosched()
		}
		d.put(regRX+qTail, entries-1)
		for i := range want {
			if got, _ := d.receive(); !bytes.Equal(got, want[i]) {
				t.Errorf("frame %d is another", i)
			}
		}
	})
}

// TestPorts resets the card through I/O space, as Linux does with the 82545EM.
func TestPorts(t *testing.T) {
	for m, bar := range map[Model]int{Model82545EM: 4, Model82574L: 2} {
		d := newDriver(t, m)
		d.put(regFCAH, 77)
		d.Write(bar, 0, 4, regFCAH)
		if v := d.Read(bar, 4, 4); v != 77 {
			t.Errorf("%d", v)
		}
		d.Write(bar, 0, 4, regCTRL)
		d.Write(bar, 4, 4, ctrlReset)
		if v := d.get(regFCAH); v != 0x100 {
			t.Errorf("%#x after a reset", v)
		}
	}
}

func TestSemaphore(t *testing.T) {
	d := newDriver(t, Model82574L)
	if d.get(regSWSM)&semaphoreSMBI != 0 || d.get(regSWSM)&semaphoreSMBI == 0 {
		t.Error("reading does not take the semaphore")
	}
	d.put(regSWSM, 0)
	if d.get(regSWSM)&semaphoreSMBI != 0 {
		t.Error("writing does not give it back")
	}
}

func TestSnapshot(t *testing.T) {
	both(t, func(t *testing.T, m Model) {
		d := newDriver(t, m)
		d.start(0)
		d.put(regIMS, icrRXT0)
		d.queue(14|24<<8|33<<16|34<<32|50<<40, txdExtended|contextTCP, 66<<8|1448<<16)
		d.kick()
		for range 2 {
			frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 50))
			d.link.Deliver(network.Header{}, frame)
			d.receive()
			d.mdio(mdicOpWrite, phyAdvertise, 0x1e1)
			fresh := func() state.Device {
				d.link = linktest.New(offers)
				d.dev = newDevice(t, m, d.Board, d.link, d.msi)
				d.Plug(t, d.dev.Function())
				return d.dev
			}
			statetest.Cycle(t, d.dev, fresh)
			if !d.Line() {
				t.Error("the interrupt is lost")
			}
			if d.mdio(mdicOpRead, phyAdvertise, 0)&0xffff != 0x1e1 {
				t.Error("the PHY is another")
			}
			open := append([]byte{}, frame...)
			binary.BigEndian.PutUint16(open[50:], pseudo(frame, 34))
			d.data(open, txdEOP|txdReport, txdTransport, 0) // by the context of before
			d.kick()
			d.check(frame)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	b := nictest.NewBoard(t)
	for name, c := range map[string]Config{
		"model":     {Model: 7, Link: linktest.New(0), Memory: b.RAM},
		"multicast": {MAC: [6]byte{1}, Link: linktest.New(0), Memory: b.RAM},
		"no link":   {Memory: b.RAM},
	} {
		if _, err := New(c); err == nil || !strings.HasPrefix(err.Error(), "e1000") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
