package fusion

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/devices/scsi"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/imagetest"
	"github.com/sharevm/vmm/virtio/virtiotest"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

const (
	ramSize   = 1 << 20
	frames    = 0x1000  // request frames
	replies   = 0x8000  // reply frames
	senses    = 0x10000 // sense buffers
	dataStart = 0x20000
	blockSize = 512
)

// guest is a driver of one adapter with a disk at address 1.
type guest struct {
	t    testing.TB
	dev  *Device
	img  *imagetest.Image
	ram  []byte
	mmio *bus.Bus
	root *pci.Root
	base uint64
	line chan bool
}

// newDevice makes an adapter with a disk on img.
func newDevice(t testing.TB, model Model, img disk.Image, ram []byte) *Device {
	t.Helper()
	mem, err := memory.FromRegions(memory.Region{Host: ram})
	if err != nil {
		t.Fatal(err)
	}
	unit, err := scsi.NewDisk(scsi.DiskConfig{Image: img, Parallel: model == LSI53C1030})
	if err != nil {
		t.Fatal(err)
	}
	targets := make([]*scsi.Target, maxTargets)
	targets[1] = &scsi.Target{Unit: unit}
	d, err := New(Config{Name: "scsi0", Model: model, Targets: targets, Memory: mem, MSI: virtiotest.NewInterrupts()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// plug puts the adapter onto a bus of its own.
func plug(t testing.TB, d *Device, line irq.Line) (*pci.Root, *bus.Bus, uint64) {
	t.Helper()
	mmio := bus.New("memory", nil)
	root, err := pci.NewRoot(pci.Config{Memory: mmio, IO: bus.New("port", nil), Buses: 1, Lines: []irq.Line{line}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Plug(pci.Address{Device: 1}, d.Function()); err != nil {
		t.Fatal(err)
	}
	ecam, size := root.ECAM()
	if err := mmio.Map(0xe0000000, size, ecam); err != nil {
		t.Fatal(err)
	}
	if err := root.Assign(pci.Windows{IO: pci.Window{Base: 0x1000, Size: 0x1000}, Mem32: pci.Window{Base: 0xc0000000, Size: 1 << 24}}); err != nil {
		t.Fatal(err)
	}
	config := uint64(0xe0000000 + 1<<15)
	mmio.Write(config+4, []byte{7, 0})
	var bar [4]byte
	mmio.Read(config+0x14, bar[:])
	return root, mmio, uint64(binary.LittleEndian.Uint32(bar[:]) &^ 15)
}

func newGuest(t testing.TB, model Model) *guest {
	t.Helper()
	g := &guest{t: t, img: imagetest.New(256<<10, disk.Info{}), ram: make([]byte, ramSize), line: make(chan bool, 1024)}
	g.dev = newDevice(t, model, g.img, g.ram)
	g.root, g.mmio, g.base = plug(t, g.dev, irq.LineFunc(func(high bool) { g.line <- high }))
	return g
}

func (g *guest) read(off uint64) uint32 {
	var p [4]byte
	g.mmio.Read(g.base+off, p[:])
	return binary.LittleEndian.Uint32(p[:])
}

func (g *guest) write(off uint64, v uint32) {
	g.mmio.Write(g.base+off, binary.LittleEndian.AppendUint32(nil, v))
}

// handshake sends a request through the doorbell, checks each step, and returns the reply.
func (g *guest) handshake(request []byte) []byte {
	g.t.Helper()
	g.send(request)
	var reply []byte
	for len(reply) < 4 || len(reply) < int(reply[2])*4 {
		if g.read(regStatus)&intDoorbell == 0 {
			g.t.Fatalf("no interrupt for half word %d", len(reply)/2)
		}
		v := g.read(regDoorbell)
		if v&doorbellActive == 0 {
			g.t.Fatal("the doorbell is not active in the middle of a reply")
		}
		reply = append(reply, byte(v), byte(v>>8))
		g.write(regStatus, 0)
	}
	if g.read(regStatus)&intDoorbell == 0 {
		g.t.Fatal("no interrupt at the end of a reply")
	}
	g.write(regStatus, 0)
	if g.read(regStatus)&intDoorbell != 0 || g.read(regDoorbell)&doorbellActive != 0 {
		g.t.Fatal("the handshake does not end")
	}
	return reply
}

// send writes a request through the doorbell.
func (g *guest) send(request []byte) {
	g.t.Helper()
	g.write(regStatus, 0)
	g.write(regDoorbell, fnHandshake<<24|uint32(len(request)/4)<<16)
	if g.read(regStatus)&intDoorbell == 0 || g.read(regDoorbell)&doorbellActive == 0 {
		g.t.Fatal("the handshake does not begin")
	}
	g.write(regStatus, 0)
	for ; len(request) > 0; request = request[4:] {
		g.write(regDoorbell, binary.LittleEndian.Uint32(request))
	}
}

// bringUp makes the adapter operational.
func (g *guest) bringUp() *guest {
	g.t.Helper()
	if facts := g.handshake([]byte{3: fnIOCFacts, 11: 0}); facts[0x14] != chainDepth || binary.LittleEndian.Uint16(facts[0x24:]) != credits {
		g.t.Fatalf("facts %x", facts)
	}
	if p := g.handshake([]byte{3: fnPortFacts, 11: 0}); p[0x15] != g.dev.traits.portType {
		g.t.Fatalf("port facts %x", p)
	}
	init := make([]byte, 0x18)
	init[0], init[3], init[5], init[6] = 4, fnIOCInit, maxTargets, 1
	binary.LittleEndian.PutUint16(init[0xc:], 80)
	if p := g.handshake(init); binary.LittleEndian.Uint16(p[14:]) != iocSuccess {
		g.t.Fatalf("init %x", p)
	}
	if p := g.handshake([]byte{3: fnPortEnable, 11: 0}); binary.LittleEndian.Uint16(p[14:]) != iocSuccess {
		g.t.Fatalf("port enable %x", p)
	}
	if s := g.read(regDoorbell) >> stateShift; s != stateOperational {
		g.t.Fatalf("state %d", s)
	}
	for i := range uint32(64) {
		g.write(regReplyFIFO, replies+i*80)
	}
	g.write(regMask, intDoorbell)
	return g
}

// simple appends a simple element.
func simple(p []byte, address uint32, length, flags uint32) []byte {
	p = binary.LittleEndian.AppendUint32(p, length|(flags|sgeSimple)<<24)
	return binary.LittleEndian.AppendUint32(p, address)
}

const lastOfAll = sgeLast | sgeEndOfList | 0x40

// scsiFrame lays out a SCSI request with one piece of memory.
func scsiFrame(context uint32, target uint8, cdb []byte, length uint32) []byte {
	p := make([]byte, offSGL, frameSize)
	p[0], p[3], p[offCDBLength], p[offSenseLength] = target, fnSCSIIO, uint8(len(cdb)), 96
	binary.LittleEndian.PutUint32(p[8:], context)
	copy(p[offCDB:], cdb)
	binary.LittleEndian.PutUint32(p[offDataLength:], length)
	binary.LittleEndian.PutUint32(p[offSense:], senses+context*128)
	return simple(p, dataStart+context*4096, length, lastOfAll)
}

// post stores a frame in slot n and posts it.
func (g *guest) post(n uint32, frame []byte) {
	at := frames + n*frameSize
	clear(g.ram[at : at+frameSize])
	copy(g.ram[at:], frame)
	g.write(regRequestFIFO, at)
}

// await waits for the interrupt and returns the next reply: a context, or a reply frame.
func (g *guest) await() (context uint32, reply []byte) {
	g.t.Helper()
	for deadline := time.After(10 * time.Second); ; {
		v := g.read(regReplyFIFO)
		if v != 0xffffffff {
			if v&(1<<31) == 0 {
				return v, nil
			}
			at := v << 1
			frame := bytes.Clone(g.ram[at : at+80])
			g.write(regReplyFIFO, at)
			return binary.LittleEndian.Uint32(frame[8:]), frame[:int(frame[2])*4]
		}
		select {
		case <-g.line:
		case <-deadline:
			g.t.Fatal("no reply")
		}
	}
}

// do carries out one SCSI command and returns its reply frame, nil for a plain success.
func (g *guest) do(cdb []byte, length uint32) []byte {
	g.t.Helper()
	g.post(1, scsiFrame(1, 1, cdb, length))
	context, reply := g.await()
	if context != 1 {
		g.t.Fatalf("reply for context %#x", context)
	}
	return reply
}

// data is the memory of the command with a context.
func (g *guest) data(context, n int) []byte { return g.ram[dataStart+context*4096:][:n] }

func read10(lba, blocks uint8) []byte  { return []byte{0x28, 0, 0, 0, 0, lba, 0, 0, blocks, 0} }
func write10(lba, blocks uint8) []byte { return []byte{0x2a, 0, 0, 0, 0, lba, 0, 0, blocks, 0} }

// status checks the parts of a SCSI reply.
func (g *guest) status(reply []byte, ioc uint16, scsiStatus, scsiState uint8, moved uint32) {
	g.t.Helper()
	if reply == nil {
		g.t.Fatal("success, a failure was expected")
	}
	if i, n := binary.LittleEndian.Uint16(reply[14:]), binary.LittleEndian.Uint32(reply[0x14:]); i != ioc || reply[12] != scsiStatus || reply[13] != scsiState || n != moved {
		g.t.Fatalf("IOC status %#x, SCSI status %#x, state %#x, %d bytes; want %#x, %#x, %#x, %d", i, reply[12], reply[13], n, ioc, scsiStatus, scsiState, moved)
	}
}

// clearAttention takes the unit attention after power-on or a reset.
func (g *guest) clearAttention() *guest {
	g.t.Helper()
	g.status(g.do([]byte{0, 0, 0, 0, 0, 0}, 0), iocSuccess, 2, scsiAutosenseValid, 0)
	if sense := g.ram[senses+128:]; sense[2] != 6 || sense[12] != 0x29 {
		g.t.Fatalf("sense %x", sense[:18])
	}
	return g
}

var both = map[string]Model{"SAS1068": SAS1068, "53C1030": LSI53C1030}

func TestCommands(t *testing.T) {
	for name, model := range both {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t, model).bringUp()
			want := bytes.Repeat([]byte("0123456789abcdef"), 64)
			copy(g.data(1, 1024), want)
			if r := g.do(write10(3, 2), 1024); r != nil {
				t.Fatalf("write: %x", r)
			}
			clear(g.data(1, 1024))
			if r := g.do(read10(3, 2), 1024); r != nil || !bytes.Equal(g.data(1, 1024), want) {
				t.Fatalf("read: %x", r)
			}
			g.status(g.do([]byte{0x12, 0, 0, 0, 255, 0}, 255), iocUnderrun, 0, 0, 96)
			g.status(g.do(read10(0, 2), 600), iocOverrun, 0, 0, 600)
			g.status(g.do([]byte{0xd7, 0, 0, 0, 0, 0}, 0), iocSuccess, 2, scsiAutosenseValid, 0)
			g.img.FailAt.Store(imagetest.Everywhere)
			r := g.do(read10(0, 1), 512)
			g.status(r, iocSuccess, 2, scsiAutosenseValid, 0)
			if sense := g.ram[senses+128:]; sense[2] != 3 || sense[12] != 0x11 || binary.LittleEndian.Uint32(r[0x18:]) != 18 {
				t.Errorf("sense %x", sense[:18])
			}
			g.img.FailAt.Store(imagetest.Nowhere)
			for _, test := range []struct {
				target, bus uint8
				want        uint16
			}{{0, 0, iocNoDevice}, {16, 0, iocInvalidTarget}, {1, 1, iocInvalidBus}} {
				f := scsiFrame(1, test.target, read10(0, 1), 512)
				f[1] = test.bus
				g.post(1, f)
				_, r := g.await()
				g.status(r, test.want, 0, scsiNoStatus, 0)
			}
			f := scsiFrame(1, 1, []byte{0, 0, 0, 0, 0, 0}, 0)
			f[offLUN+1] = 1
			g.post(1, f)
			_, r = g.await()
			g.status(r, iocSuccess, 2, scsiAutosenseValid, 0)
			g.post(1, scsiFrame(1, 1, read10(0, 1), 512))
			if v, _ := g.await(); v != 1 {
				t.Error("a command after failures fails")
			}
		})
	}
}

// TestFirmware drives the adapter as SeaBIOS does: by polling, without acknowledging each half word, with any context of 31 bits, and with room for
// 4 bytes of a reply.
func TestFirmware(t *testing.T) {
	for name, model := range both {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t, model)
			g.write(regDoorbell, fnMessageUnitReset<<24)
			g.write(regMask, intDoorbell|intReply)
			g.write(regStatus, 0)
			init := make([]byte, 24)
			init[0], init[3], init[5], init[6], init[0xc] = 2, fnIOCInit, 8, 1, 4
			g.write(regDoorbell, fnHandshake<<24|6<<16)
			for p := init; len(p) > 0; p = p[4:] {
				g.write(regDoorbell, le.Uint32(p))
			}
			var reply []byte
			for range defaultReply / 2 {
				v := g.read(regDoorbell)
				reply = append(reply, byte(v), byte(v>>8))
			}
			if g.write(regStatus, 0); reply[3] != fnIOCInit || le.Uint16(reply[14:]) != iocSuccess {
				t.Fatalf("%x", reply)
			}
			g.write(regReplyFIFO, replies)
			g.ram[replies+4] = 0x5a
			poll := func() uint32 {
				for g.read(regStatus)&intReply == 0 {
					runtime.Gosched()
				}
				v := g.read(regReplyFIFO)
				g.read(regReplyFIFO)
				return v
			}
			const context = 0x7fffff01
			frame := scsiFrame(1, 1, make([]byte, 16), 0)
			le.PutUint32(frame[8:], context)
			frame[offCDB] = 0xd7
			g.post(1, frame)
			if v := poll(); v != replies>>1|1<<31 || g.ram[replies+4] != 0x5a {
				t.Fatalf("unknown command: reply %#x", v)
			}
			g.write(regReplyFIFO, replies)
			frame[offCDB] = 0
			g.post(1, frame)
			if v := poll(); v != context || len(g.line) != 0 {
				t.Fatalf("reply %#x", v)
			}
		})
	}
}

// TestScatterGather cuts a transfer into elements of both widths in a chain of segments.
func TestScatterGather(t *testing.T) {
	g := newGuest(t, SAS1068).bringUp()
	g.img.Fill(0, imagetest.Pattern(2048))
	f := scsiFrame(1, 1, read10(0, 4), 2048)[:offSGL]
	f = simple(f, 0x30000, 100, 0)
	f = simple(f, 0x31000, 412, sgeLast)
	f[2] = uint8(len(f) / 4)
	f = binary.LittleEndian.AppendUint32(f, (sgeChain)<<24|3<<16|20) // the next chain element lies after 12 bytes
	f = binary.LittleEndian.AppendUint32(f, 0x40000)
	second := binary.LittleEndian.AppendUint32(nil, 1000|(sgeSimple|sgeWide|sgeLast)<<24)
	second = binary.LittleEndian.AppendUint64(second, 0x32000)
	second = binary.LittleEndian.AppendUint32(second, (sgeChain)<<24|16)
	second = binary.LittleEndian.AppendUint32(second, 0x41000)
	copy(g.ram[0x40000:], second)
	copy(g.ram[0x41000:], simple(simple(nil, 0xffffffff, 0, 0), 0x33000, 4096, lastOfAll))
	g.post(1, f)
	if _, r := g.await(); r != nil {
		t.Fatalf("%x", r)
	}
	var got []byte
	for _, p := range [][2]int{{0x30000, 100}, {0x31000, 412}, {0x32000, 1000}, {0x33000, 536}} {
		got = append(got, g.ram[p[0]:p[0]+p[1]]...)
	}
	if !bytes.Equal(got, imagetest.Pattern(2048)) {
		t.Error("other data")
	}
}

// TestHostileLists gives lists that no honest driver makes: each ends in an error, and the adapter goes on.
func TestHostileLists(t *testing.T) {
	g := newGuest(t, SAS1068).bringUp()
	base := func() []byte { return scsiFrame(1, 1, read10(0, 8), 4096)[:offSGL] }
	chain := func(f []byte, address uint32, length, next uint32) []byte {
		f = binary.LittleEndian.AppendUint32(f, sgeChain<<24|next<<16|length)
		return binary.LittleEndian.AppendUint32(f, address)
	}
	copy(g.ram[0x50000:], chain(nil, 0x50000, 8, 0)) // itself
	copy(g.ram[0x51000:], simple(nil, dataStart, 1, sgeLast))
	copy(g.ram[0x51008:], chain(nil, 0x51000, 16, 2)) // a byte each time round
	for name, f := range map[string][]byte{
		"chain to itself":             chain(base(), 0x50000, 8, 0),
		"circle":                      chain(base(), 0x51000, 16, 2),
		"beyond memory":               simple(base(), 0xfffffff0, 4096, lastOfAll),
		"across the end":              simple(base(), ramSize-512, 4096, lastOfAll),
		"chain beyond memory":         chain(base(), ramSize, 64, 0),
		"empty chain":                 chain(base(), 0x52000, 0, 0),
		"no type":                     binary.LittleEndian.AppendUint64(base(), 4096),
		"elements to the frame's end": bytes.Repeat(simple(nil, dataStart, 0, 0), 16)[:0],
	} {
		if name == "elements to the frame's end" {
			f = base()
			for len(f)+8 <= frameSize {
				f = simple(f, dataStart, 1, 0)
			}
		}
		g.post(1, f)
		_, r := g.await()
		if r == nil || binary.LittleEndian.Uint16(r[14:]) != iocInvalidSGL {
			t.Errorf("%s: %x", name, r)
		}
	}
	huge := simple(base(), dataStart, 0xffffff, lastOfAll)
	binary.LittleEndian.PutUint32(huge[offDataLength:], 0xffffffff)
	g.post(1, huge)
	if _, r := g.await(); binary.LittleEndian.Uint16(r[14:]) != iocInvalidSGL {
		t.Errorf("huge: %x", r)
	}
	if r := g.do(read10(0, 1), 512); r != nil {
		t.Errorf("afterwards: %x", r)
	}
}

// taskFrame lays out task management.
func taskFrame(context uint32, kind, target uint8, victim uint32) []byte {
	p := make([]byte, 0x34)
	p[0], p[3], p[5] = target, fnTaskManagement, kind
	binary.LittleEndian.PutUint32(p[8:], context)
	binary.LittleEndian.PutUint32(p[0x30:], victim)
	return p
}

// TestTaskManagement takes commands back while the disk hangs: by frame on the SAS adapter, by handshake on the other.
func TestTaskManagement(t *testing.T) {
	for name, model := range both {
		for _, kind := range []uint8{taskAbort, taskAbortSet, taskTargetReset, taskUnitReset, taskBusReset} {
			t.Run(name, func(t *testing.T) {
				g := newGuest(t, model).bringUp()
				gate := g.img.Hold(imagetest.Everywhere)
				for i := range uint32(12) { // 8 are under way, 4 wait
					g.post(i, scsiFrame(i, 1, read10(0, 1), 512))
				}
				f := taskFrame(100, kind, 1, 11)
				if model == SAS1068 {
					copy(g.ram[frames+20*frameSize:], f)
					g.write(regHighFIFO, frames+20*frameSize)
				} else {
					g.send(f)
					if g.read(regStatus)&intDoorbell == 0 || g.read(regDoorbell)&doorbellActive != 0 {
						t.Error("the handshake of task management does not end")
					}
					g.write(regStatus, 0)
				}
				_, r := g.await() // one of those that waited, so that the management has begun
				g.status(r, iocTaskTerminated, 0, scsiTerminated|scsiNoStatus, 0)
				terminated := 1
				close(gate.Open)
				done := false
				for range 13 - terminated {
					context, r := g.await()
					if context == 100 {
						if r == nil || r[4] != taskComplete || binary.LittleEndian.Uint16(r[14:]) != iocSuccess || r[5] != kind {
							t.Errorf("task management: %x", r)
						}
						done = true
						continue
					}
					if r != nil && binary.LittleEndian.Uint16(r[14:]) == iocTaskTerminated {
						terminated++
					}
				}
				if !done || kind == taskAbort && terminated != 1 {
					t.Errorf("%d commands were taken back; management done: %v", terminated, done)
				}
				if v := g.read(regReplyFIFO); v != 0xffffffff {
					t.Errorf("one reply too many: %#x", v)
				}
				g.img.Release()
				if kind == taskTargetReset || kind == taskUnitReset || kind == taskBusReset {
					g.clearAttention()
				}
				if r := g.do(read10(0, 1), 512); r != nil {
					t.Errorf("afterwards: %x", r)
				}
			})
		}
	}
}

// TestReset resets the adapter with commands under way, in each of its ways: none is answered afterwards, and it can be brought up again.
func TestReset(t *testing.T) {
	for name, model := range both {
		for how, reset := range map[string]func(*guest){
			"message unit": func(g *guest) { g.write(regDoorbell, fnMessageUnitReset<<24) },
			"IO unit":      func(g *guest) { g.write(regDoorbell, fnIOUnitReset<<24) },
			"diagnostic": func(g *guest) {
				g.write(regDiagnostic, diagReset)
				if g.read(regDoorbell)>>stateShift != stateOperational {
					t.Error("a locked diagnostic register resets")
				}
				for _, key := range []uint32{0xff, 4, 0xb, 2, 7, 0xd} {
					g.write(regSequence, key)
				}
				if g.read(regDiagnostic)&diagWriteEnable == 0 {
					t.Error("the keys do not open the diagnostic register")
				}
				g.write(regDiagnostic, diagReset)
				if v := g.read(regDiagnostic); v != diagResetHistory {
					t.Errorf("diagnostic register %#x after a reset", v)
				}
			},
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				g := newGuest(t, model).bringUp()
				gate := g.img.Hold(imagetest.Everywhere)
				for i := range uint32(20) {
					g.post(i, scsiFrame(i, 1, read10(0, 1), 512))
				}
				over, opened := make(chan struct{}), make(chan struct{})
				go func() { // the reset waits for those under way; the rest never begin
					defer close(opened)
					for waiting := true; waiting && g.read(regDoorbell)>>stateShift != stateReset; runtime.Gosched() {
						select {
						case <-over: // nothing was under way yet
							waiting = false
						default:
						}
					}
					close(gate.Open)
				}()
				reset(g)
				close(over)
				<-opened
				g.img.Release()
				if s := g.read(regDoorbell) >> stateShift; s != stateReady {
					t.Fatalf("state %d", s)
				}
				if v := g.read(regReplyFIFO); v != 0xffffffff {
					t.Errorf("reply %#x after a reset", v)
				}
				g.bringUp()
				if how != "message unit" {
					g.clearAttention()
				}
				if r := g.do(read10(0, 1), 512); r != nil {
					t.Errorf("afterwards: %x", r)
				}
			})
		}
	}
}

// TestFaults breaks the protocol where the adapter can only stop; a reset cures it.
func TestFaults(t *testing.T) {
	for name, test := range map[string]struct {
		what func(g *guest)
		code uint32
	}{
		"frame beyond memory": {func(g *guest) { g.write(regRequestFIFO, 0xfffffff8) }, faultRequestBus},
		"no reply frame": {func(g *guest) {
			g.write(regDoorbell, fnFrameRemoval<<24)
			g.post(1, scsiFrame(1, 9, read10(0, 1), 512))
		}, iocNoResources},
		"reply frame beyond memory": {func(g *guest) {
			g.write(regDoorbell, fnFrameRemoval<<24)
			g.write(regReplyFIFO, 0xf0000000)
			g.post(1, scsiFrame(1, 9, read10(0, 1), 512))
		}, faultReplyBus},
		"too many reply frames": {func(g *guest) {
			for range replyDepth {
				g.write(regReplyFIFO, replies)
			}
		}, iocNoResources},
		"replies that nobody takes": {func(g *guest) {
			for i := range uint32(replyDepth + 1) {
				g.write(regReplyFIFO, replies)
				g.post(1, []byte{3: fnEventAck, 8: byte(i), 11: 0})
			}
		}, iocNoResources},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t, SAS1068).bringUp()
			test.what(g)
			if v := g.read(regDoorbell); v>>stateShift != stateFault || v&0xffff != test.code {
				t.Fatalf("doorbell %#x", v)
			}
			g.write(regDoorbell, fnMessageUnitReset<<24)
			g.bringUp()
			if r := g.do(read10(0, 1), 512); r != nil {
				t.Errorf("after a reset: %x", r)
			}
		})
	}
}

// config reads a configuration page by frame: header first, then the page.
func (g *guest) config(kind, ext, number uint8, address uint32) (page []byte, status uint16) {
	g.t.Helper()
	f := make([]byte, 0x24)
	f[3], f[6], f[offHeader+2], f[offHeader+3] = fnConfig, ext, number, kind
	binary.LittleEndian.PutUint32(f[offPageAddress:], address)
	g.post(2, f)
	_, r := g.await()
	if status := binary.LittleEndian.Uint16(r[14:]); status != iocSuccess {
		return nil, status
	}
	size := uint32(r[offHeader+1]) * 4
	if kind == typeExtended {
		size = uint32(binary.LittleEndian.Uint16(r[4:])) * 4
	}
	f[0] = actionReadCurrent
	f = simple(f[:offPageSGL], 0x60000, size, lastOfAll)
	g.post(2, f)
	_, r = g.await()
	return bytes.Clone(g.ram[0x60000 : 0x60000+size]), binary.LittleEndian.Uint16(r[14:])
}

func TestConfigPages(t *testing.T) {
	for name, model := range both {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t, model).bringUp()
			for kind, count := range map[uint8]uint8{typeManufacturing: 11, typeIOUnit: 4, typeIOC: 7} {
				for number := range count {
					p, status := g.config(kind, 0, number, 0)
					if status != iocSuccess || p[2] != number || p[3]&typeMask != kind {
						t.Errorf("page %d of type %#x: status %#x", number, kind, status)
					}
				}
				if _, status := g.config(kind, 0, count, 0); status != iocBadConfigPage {
					t.Errorf("page %d of type %#x: status %#x", count, kind, status)
				}
			}
			if _, status := g.config(0x06, 0, 0, 0); status != iocBadConfigType {
				t.Errorf("Fibre Channel: status %#x", status)
			}
		})
	}
}

// TestSAS walks the domain as a driver does: phys, what is attached to them, and all devices by their handles.
func TestSAS(t *testing.T) {
	g := newGuest(t, SAS1068).bringUp()
	io, status := g.config(typeExtended, typeSASIOUnit, 0, 0)
	if status != iocSuccess || io[0x0c] != numPhys {
		t.Fatalf("IO unit page: status %#x", status)
	}
	attached := 0
	for i := range numPhys {
		handle := binary.LittleEndian.Uint16(io[0x10+16*i+8:])
		phy, _ := g.config(typeExtended, typeSASPhy, 0, uint32(i))
		if binary.LittleEndian.Uint16(phy[0x14:]) != handle {
			t.Errorf("phy %d has something else attached", i)
		}
		if handle == 0 {
			continue
		}
		attached++
		dev, status := g.config(typeExtended, typeSASDevice, 0, formHandle<<formShift|uint32(handle))
		if status != iocSuccess || dev[0x1a] != uint8(i) || binary.LittleEndian.Uint32(dev[0x1c:]) != infoTarget {
			t.Errorf("device %#x: status %#x, %x", handle, status, dev)
		}
		same, _ := g.config(typeExtended, typeSASDevice, 0, formBusTarget<<formShift|uint32(i))
		if !bytes.Equal(same, dev) || !bytes.Equal(dev[0xc:0x14], phy[0xc:0x14]) {
			t.Errorf("device %#x by its ID: %x", handle, same)
		}
	}
	if attached != 1 {
		t.Errorf("%d devices", attached)
	}
	devices := 0
	for handle := uint32(noHandle); ; devices++ {
		p, status := g.config(typeExtended, typeSASDevice, 0, handle)
		if status != iocSuccess {
			break
		}
		handle = uint32(binary.LittleEndian.Uint16(p[0x18:]))
	}
	if devices != numPhys+1 {
		t.Errorf("%d handles", devices)
	}
	if p, status := g.config(typeExtended, typeSASEnclosure, 0, noHandle); status != iocSuccess || p[0x16] != enclosure {
		t.Errorf("enclosure: status %#x", status)
	}
}

// TestParallelBus negotiates as domain validation does.
func TestParallelBus(t *testing.T) {
	g := newGuest(t, LSI53C1030).bringUp()
	port, _ := g.config(typeSCSIPort, 0, 0, 0)
	if v := binary.LittleEndian.Uint32(port[4:]); v != busWide|busSyncOffset|busSync40 {
		t.Errorf("capabilities %#x", v)
	}
	set := func(v uint32) uint16 {
		f := make([]byte, offPageSGL)
		f[0], f[3], f[offHeader+1], f[offHeader+2], f[offHeader+3] = actionWriteCurrent, fnConfig, 4, 1, typeSCSIDevice
		binary.LittleEndian.PutUint32(f[offPageAddress:], 1)
		binary.LittleEndian.PutUint32(g.ram[0x61004:], v)
		g.post(2, simple(f, 0x61000, 16, lastOfAll))
		_, r := g.await()
		return binary.LittleEndian.Uint16(r[14:])
	}
	for _, test := range [][2]uint32{
		{0, 0}, {busWide, busWide}, {busWide | 0x7f0900, busWide | 0x7f0a00}, {0xff1900, 0x7f1900}, {busWide | 0x7f0807, busWide | 0x7f0a00},
	} {
		if status := set(test[0]); status != iocSuccess {
			t.Fatalf("status %#x", status)
		}
		p, _ := g.config(typeSCSIDevice, 0, 0, 1)
		if v := binary.LittleEndian.Uint32(p[4:]); v != test[1] {
			t.Errorf("%#x was asked for and gave %#x, want %#x", test[0], v, test[1])
		}
	}
	if _, status := g.config(typeSCSIDevice, 0, 0, 16); status != iocBadConfigPage {
		t.Errorf("device 16: status %#x", status)
	}
	if _, status := g.config(typeExtended, typeSASIOUnit, 0, 0); status != iocBadConfigType {
		t.Errorf("a SAS page: status %#x", status)
	}
}

// TestState takes a snapshot in the middle of a handshake, with a request that came during the pause.
func TestState(t *testing.T) {
	for name, model := range both {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t, model).bringUp()
			g.dev.Pause()
			g.post(3, scsiFrame(3, 1, read10(0, 1), 512)) // waits for the end of the pause
			g.write(regDoorbell, fnHandshake<<24|3<<16)
			g.write(regDoorbell, 0)
			fresh := func() state.Device {
				d := newDevice(t, model, g.img, g.ram)
				_, g.mmio, g.base = plug(t, d, irq.LineFunc(func(high bool) { g.line <- high }))
				return d
			}
			g.dev = statetest.Cycle(t, g.dev, fresh).(*Device)
			if v, r := g.await(); v != 3 || r != nil {
				t.Errorf("context %d, reply %x", v, r)
			}
			if r := g.do(read10(0, 1), 512); r != nil {
				t.Errorf("afterwards: %x", r)
			}
		})
	}
}

// FuzzRegisters does arbitrary accesses to the registers of an operational adapter, with snapshots in between, and then expects an honest driver
// to succeed. Each step of 8 bytes is: what to do, a width, an offset and a value.
func FuzzRegisters(f *testing.F) {
	step := func(what, width uint8, off uint16, v uint32) []byte {
		return binary.LittleEndian.AppendUint32([]byte{what, width, byte(off), byte(off >> 8)}, v)
	}
	f.Add(bytes.Join([][]byte{step(0, 3, regDoorbell, fnHandshake<<24|3<<16), step(0, 3, 0, 0x03000000), step(2, 0, 0, 0), step(1, 3, 0, 0)}, nil), []byte{})
	f.Add(bytes.Join([][]byte{step(0, 3, regRequestFIFO, frames), step(0, 3, regReplyFIFO, replies), step(1, 7, 0x40, 0)}, nil), scsiFrame(5, 1, read10(0, 1), 512))
	f.Add(bytes.Join([][]byte{step(0, 3, regHighFIFO, frames), step(2, 0, 0, 0)}, nil), taskFrame(5, taskBusReset, 1, 0))
	f.Add(bytes.Join([][]byte{step(0, 3, regRequestFIFO, frames)}, nil), []byte{actionReadCurrent, 0, 0, fnConfig, 0, 0, typeSASDevice, offHeader + 3: typeExtended})
	f.Fuzz(func(t *testing.T, steps, frame []byte) {
		for _, model := range both {
			g := newGuest(t, model).bringUp()
			copy(g.ram[frames:replies], bytes.Repeat(append(frame, 0), 4))
			for n := 0; len(steps) >= 8 && n < 100; n++ {
				width, off, v := int(steps[1]%8)+1, uint64(binary.LittleEndian.Uint16(steps[2:])%0x100), binary.LittleEndian.Uint32(steps[4:])
				var p [8]byte
				binary.LittleEndian.PutUint32(p[:], v)
				switch steps[0] % 3 {
				case 0:
					g.mmio.Write(g.base+off, p[:width])
				case 1:
					g.mmio.Read(g.base+off, p[:width])
				case 2:
					g.dev.Pause()
					var w state.Writer
					g.dev.Save(&w)
					d := newDevice(t, model, g.img, g.ram)
					_, g.mmio, g.base = plug(t, d, irq.LineFunc(func(high bool) {}))
					if err := d.Restore(state.NewReader(w.Data())); err != nil {
						t.Fatalf("a state that was just saved: %v", err)
					}
					d.Resume()
					g.dev = d
				}
				steps = steps[8:]
			}
			for g.read(regDoorbell)&doorbellActive != 0 { // a handshake that was left behind
				g.write(regDoorbell, 0)
				g.read(regDoorbell)
				g.write(regStatus, 0)
			}
			g.write(regDoorbell, fnMessageUnitReset<<24)
			g.write(regStatus, 0)
			g.write(regStatus, 0)
			if s := g.read(regDoorbell) >> stateShift; s != stateReady {
				t.Fatalf("state %d after a reset", s)
			}
		}
	})
}

// BenchmarkRead is one read with everything asleep: frame, command, context reply.
func BenchmarkRead(b *testing.B) {
	g := newGuest(b, SAS1068).bringUp()
	g.dev.Function().SetINTx(false)
	g.post(1, scsiFrame(1, 1, read10(0, 8), 4096))
	g.await()
	frame := binary.LittleEndian.AppendUint32(nil, frames+1*frameSize)
	var p [4]byte
	b.ReportAllocs()
	for b.Loop() {
		g.mmio.Write(g.base+regRequestFIFO, frame)
		for {
			<-g.line
			g.mmio.Read(g.base+regReplyFIFO, p[:])
			if p != [4]byte{0xff, 0xff, 0xff, 0xff} {
				break
			}
		}
	}
}
