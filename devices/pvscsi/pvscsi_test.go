package pvscsi

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
	"github.com/sharevm/vmm/vmm/memory/shared"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

const (
	ramSize   = 1 << 20
	statePage = 1
	reqPage   = 2 // and the next
	cmpPage   = 4 // and the next
	listPage  = 6
	sensePage = 7
	dataStart = 0x20000
)

// guest is a driver of one adapter with a disk at address 1.
type guest struct {
	t        testing.TB
	dev      *Device
	img      *imagetest.Image
	ram      []byte
	mmio     *bus.Bus
	base     uint64
	line     chan bool
	produced uint32 // requests
	taken    uint32 // completions
}

func newDevice(t testing.TB, img disk.Image, ram []byte) *Device {
	t.Helper()
	mem, err := memory.FromRegions(memory.Region{Host: ram})
	if err != nil {
		t.Fatal(err)
	}
	unit, err := scsi.NewDisk(scsi.DiskConfig{Image: img})
	if err != nil {
		t.Fatal(err)
	}
	targets := make([]*scsi.Target, 16)
	targets[1] = &scsi.Target{Unit: unit}
	d, err := New(Config{Name: "scsi0", Targets: targets, Memory: mem, MSI: virtiotest.NewInterrupts()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// plug puts the adapter onto a bus of the guest's.
func (g *guest) plug(d *Device) {
	g.t.Helper()
	g.mmio = bus.New("memory", nil)
	line := irq.LineFunc(func(high bool) { g.line <- high })
	root, err := pci.NewRoot(pci.Config{Memory: g.mmio, IO: bus.New("port", nil), Buses: 1, Lines: []irq.Line{line}}, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := root.Plug(pci.Address{Device: 1}, d.Function()); err != nil {
		g.t.Fatal(err)
	}
	ecam, size := root.ECAM()
	if err := g.mmio.Map(0xe0000000, size, ecam); err != nil {
		g.t.Fatal(err)
	}
	if err := root.Assign(pci.Windows{Mem32: pci.Window{Base: 0xc0000000, Size: 1 << 24}}); err != nil {
		g.t.Fatal(err)
	}
	const config = 0xe0000000 + 1<<15
	g.mmio.Write(config+4, []byte{7, 0})
	var bar [4]byte
	g.mmio.Read(config+0x10, bar[:])
	g.base, g.dev = uint64(le.Uint32(bar[:])&^15), d
}

func newGuest(t testing.TB) *guest {
	t.Helper()
	g := &guest{t: t, img: imagetest.New(256<<10, disk.Info{}), ram: make([]byte, ramSize), line: make(chan bool, 4096)}
	g.plug(newDevice(t, g.img, g.ram))
	return g
}

func (g *guest) read(off uint64) uint32 {
	var p [4]byte
	g.mmio.Read(g.base+off, p[:])
	return le.Uint32(p[:])
}

func (g *guest) write(off uint64, v uint32) { g.mmio.Write(g.base+off, le.AppendUint32(nil, v)) }

// command gives a command with its data, and returns its status.
func (g *guest) command(code uint32, data ...uint32) uint32 {
	g.write(regCommand, code)
	for _, v := range data {
		g.write(regData, v)
	}
	return g.read(regResult)
}

// bringUp sets rings of two pages up.
func (g *guest) bringUp() *guest {
	g.t.Helper()
	g.command(cmdAdapterReset)
	clear(g.ram[statePage*pageSize : sensePage*pageSize])
	g.produced, g.taken = 0, 0
	setup := make([]uint32, 132)
	setup[0], setup[1], setup[2] = 2, 2, statePage
	setup[4], setup[6] = reqPage, reqPage+1
	setup[4+64], setup[4+66] = cmpPage, cmpPage+1
	if s := g.command(cmdSetupRings, setup...); s != 0 {
		g.t.Fatalf("set-up: %#x", s)
	}
	if r, c := le.Uint32(g.state()[stReqLog:]), le.Uint32(g.state()[stCmpLog:]); r != 6 || c != 8 {
		g.t.Fatalf("rings of 2^%d and 2^%d entries", r, c)
	}
	g.write(regMask, intCompletion)
	return g
}

func (g *guest) state() []byte { return g.ram[statePage*pageSize:][:pageSize] }

// descriptor lays out a request with one piece of memory.
func descriptor(context uint64, target uint8, cdb []byte, length uint64) (e [requestSize]byte) {
	le.PutUint64(e[rqContext:], context)
	le.PutUint64(e[rqData:], dataStart+context*4096)
	le.PutUint64(e[rqLength:], length)
	le.PutUint64(e[rqSense:], sensePage*pageSize)
	le.PutUint32(e[rqSenseRoom:], 96)
	le.PutUint32(e[rqFlags:], 1<<3)
	copy(e[rqCDB:], cdb)
	e[rqCDBLength], e[rqTarget] = uint8(len(cdb)), target
	return e
}

// store puts a request into the ring without a kick.
func (g *guest) store(e [requestSize]byte) {
	at := reqPage*pageSize + int(g.produced%64)*requestSize
	copy(g.ram[at:], e[:])
	g.produced++
	shared.Store32(g.state(), stReqProduced, g.produced)
}

func (g *guest) submit(e [requestSize]byte) {
	g.store(e)
	g.write(regKickRW, 0)
}

// completion is what a driver learns.
type completion struct {
	context, moved uint64
	sense          uint32
	host, status   uint16
}

// await waits for the next completion.
func (g *guest) await() completion {
	g.t.Helper()
	for deadline := time.After(10 * time.Second); shared.Load32(g.state(), stCmpProduced) == g.taken; {
		select {
		case <-g.line:
		case <-deadline:
			g.t.Fatal("no completion")
		}
	}
	return g.next()
}

func (g *guest) next() completion {
	e := g.ram[cmpPage*pageSize+int(g.taken%256)*completionSize:]
	c := completion{le.Uint64(e), le.Uint64(e[8:]), le.Uint32(e[16:]), le.Uint16(e[20:]), le.Uint16(e[22:])}
	g.taken++
	shared.Store32(g.state(), stCmpConsumed, g.taken)
	g.write(regStatus, g.read(regStatus))
	return c
}

func (g *guest) expect(want completion) {
	g.t.Helper()
	if got := g.await(); got != want {
		g.t.Fatalf("completion %+v, want %+v", got, want)
	}
}

func (g *guest) do(cdb []byte, length uint64, want completion) {
	g.t.Helper()
	g.submit(descriptor(1, 1, cdb, length))
	want.context = 1
	g.expect(want)
}

func (g *guest) clearAttention() *guest {
	g.t.Helper()
	g.do(make([]byte, 6), 0, completion{sense: 18, status: 2})
	if s := g.ram[sensePage*pageSize:]; s[2] != 6 || s[12] != 0x29 {
		g.t.Fatalf("sense %x", s[:18])
	}
	return g
}

func read10(lba, blocks uint8) []byte { return []byte{0x28, 0, 0, 0, 0, lba, 0, 0, blocks, 0} }

func TestCommands(t *testing.T) {
	g := newGuest(t).bringUp()
	data := g.ram[dataStart+4096:][:1024]
	want := bytes.Repeat([]byte("0123456789abcdef"), 64)
	copy(data, want)
	g.do([]byte{0x2a, 0, 0, 0, 0, 3, 0, 0, 2, 0}, 1024, completion{moved: 1024})
	clear(data)
	g.do(read10(3, 2), 1024, completion{moved: 1024})
	if !bytes.Equal(data, want) {
		t.Error("other data")
	}
	g.do([]byte{0x12, 0, 0, 0, 255, 0}, 255, completion{moved: 96})
	g.do(read10(0, 2), 600, completion{moved: 600, host: hostDataRun})
	g.do([]byte{0xd7}, 0, completion{status: 2, sense: 18})
	g.img.FailAt.Store(imagetest.Everywhere)
	g.do(read10(0, 1), 512, completion{status: 2, sense: 18})
	g.img.FailAt.Store(imagetest.Nowhere)
	if s := g.ram[sensePage*pageSize:]; s[2] != 3 || s[12] != 0x11 {
		t.Errorf("sense %x", s[:18])
	}
	for _, e := range [][requestSize]byte{descriptor(1, 0, read10(0, 1), 512), descriptor(1, 255, read10(0, 1), 512)} {
		g.submit(e)
		g.expect(completion{context: 1, host: hostSelTimeout})
	}
	e := descriptor(1, 1, read10(0, 1), 512)
	e[rqBus] = 1
	g.submit(e)
	g.expect(completion{context: 1, host: hostSelTimeout})
	for range 300 { // both rings all the way round
		g.do(read10(0, 1), 512, completion{moved: 512})
	}
	for i := range uint64(60) {
		g.store(descriptor(i, 1, read10(uint8(i), 1), 512))
	}
	g.write(regKickOther, 0)
	seen := map[uint64]bool{}
	for range 60 {
		c := g.await()
		if c.moved != 512 || seen[c.context] {
			t.Errorf("%+v", c)
		}
		seen[c.context] = true
	}
}

func TestLists(t *testing.T) {
	g := newGuest(t).bringUp()
	g.img.Fill(0, imagetest.Pattern(2048))
	element := func(at int, address uint64, length, flags uint32) {
		e := g.ram[at:]
		le.PutUint64(e, address)
		le.PutUint32(e[8:], length)
		le.PutUint32(e[12:], flags)
	}
	const list, second = listPage * pageSize, listPage*pageSize + 1024
	e := descriptor(1, 1, read10(0, 4), 2048)
	le.PutUint32(e[rqFlags:], flagList)
	le.PutUint64(e[rqData:], list)
	element(list, 0x30000, 100, 0)
	element(list+16, 0x31000, 412, 0)
	element(list+32, second, 0, flagChain)
	element(second, 0x32000, 0, 0)
	element(second+16, 0x33000, 100000, 0)
	g.submit(e)
	g.expect(completion{context: 1, moved: 2048})
	var got []byte
	for _, p := range [][2]int{{0x30000, 100}, {0x31000, 412}, {0x33000, 1536}} {
		got = append(got, g.ram[p[0]:p[0]+p[1]]...)
	}
	if !bytes.Equal(got, imagetest.Pattern(2048)) {
		t.Error("other data")
	}
	bad := completion{context: 1, host: hostBadParam}
	element(second+16, second, 0, flagChain) // to itself
	g.submit(e)
	g.expect(bad)
	element(second+16, ramSize-16, 4096, 0)
	g.submit(e)
	g.expect(bad)
	le.PutUint64(e[rqData:], 1<<63)
	g.submit(e)
	g.expect(bad)
	le.PutUint32(e[rqFlags:], 0)
	le.PutUint64(e[rqLength:], 1<<64-1)
	g.submit(e)
	g.expect(bad)
	le.PutUint32(e[rqFlags:], flagOutOfBand)
	g.submit(e)
	g.expect(bad)
	e = descriptor(1, 1, []byte{0xd7}, 0)
	le.PutUint64(e[rqSense:], 1<<62)
	g.submit(e)
	g.expect(completion{context: 1, status: 2, host: hostSenseFault})
	g.do(read10(0, 1), 512, completion{moved: 512})
}

// TestBadRings sets rings up that cannot be, and breaks good ones; the next set-up cures that.
func TestBadRings(t *testing.T) {
	g := newGuest(t).bringUp()
	good := make([]uint32, 132)
	good[0], good[1], good[2], good[4], good[68] = 1, 1, statePage, reqPage, cmpPage
	for name, change := range map[string]func(s []uint32){
		"no pages":               func(s []uint32) { s[0] = 0 },
		"too many pages":         func(s []uint32) { s[1] = 64 },
		"not a power of two":     func(s []uint32) { s[0] = 3; s[6], s[8] = reqPage, reqPage },
		"state beyond memory":    func(s []uint32) { s[2] = ramSize / pageSize },
		"requests beyond memory": func(s []uint32) { s[5] = 1 << 31 },
		"completions wrap":       func(s []uint32) { s[69] = 0xffffffff },
	} {
		s := append([]uint32(nil), good...)
		change(s)
		if g.command(cmdSetupRings, s...) != failed {
			t.Errorf("%s: taken", name)
		}
	}
	g.do(read10(0, 1), 512, completion{moved: 512}) // the old rings stand
	shared.Store32(g.state(), stReqProduced, g.produced+65)
	g.write(regKickRW, 0)
	if g.command(cmdResetBus); shared.Load32(g.state(), stReqConsumed) != g.produced {
		t.Error("requests were taken from a ring that cannot hold them")
	}
	g.bringUp()
	g.do(read10(0, 1), 512, completion{moved: 512})
	for _, code := range []uint32{0, 2, 9, 10, 1 << 31} {
		if g.command(code, 1, 2, 3) != failed {
			t.Errorf("command %d is taken", code)
		}
	}
	if g.write(regCommand, cmdSetupMessage); g.read(regResult) != 34 {
		t.Errorf("the command for messages takes %d words", g.read(regResult))
	}
	messages := make([]uint32, 34)
	messages[0] = 1
	if s := g.command(cmdSetupMessage, messages...); s != 0 || le.Uint32(g.state()[stMsgLog:]) != 5 {
		t.Errorf("messages: %#x", s)
	}
}

// TestConfig reads the controller's page, as Linux does before anything else.
func TestConfig(t *testing.T) {
	g := newGuest(t)
	ask := func(number, address uint32) []byte {
		if s := g.command(cmdConfig, dataStart, 0, 0, address, number, 0); s != 0 {
			t.Errorf("status %#x", s)
		}
		return g.ram[dataStart:]
	}
	if p := ask(pageController, addressController); le.Uint32(p) != pageController || le.Uint32(p[6:]) != 0 || le.Uint32(p[configPhys:]) != 16 {
		t.Errorf("%x", p[:configSize])
	}
	if p := ask(0x1959, addressController); le.Uint16(p[6:]) == 0 || le.Uint16(p[8:]) == 0 {
		t.Errorf("%x", p[:16])
	}
	if g.command(cmdConfig, 0, 1<<31, 0, addressController, pageController, 0) != failed {
		t.Error("a page beyond memory")
	}
}

// TestTakeBack aborts a command, and resets device, bus and adapter, while the disk hangs.
func TestTakeBack(t *testing.T) {
	for name, test := range map[string]struct {
		code uint32
		data []uint32
		host uint16
	}{
		"abort":   {cmdAbort, []uint32{11, 0, 1, 0}, hostAborted},
		"device":  {cmdResetDevice, []uint32{1, 0, 0}, hostReset},
		"bus":     {cmdResetBus, nil, hostReset},
		"adapter": {cmdAdapterReset, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t).bringUp()
			gate := g.img.Hold(imagetest.Everywhere)
			for i := range uint64(12) {
				g.store(descriptor(i, 1, read10(0, 1), 512))
			}
			consumed := g.taken
			opened := make(chan struct{})
			go func() { // resets wait for what is under way, so they have to be seen from outside
				defer close(opened)
				for name != "adapter" && shared.Load32(g.state(), stCmpProduced) == consumed {
					runtime.Gosched()
				}
				close(gate.Open)
			}()
			g.command(test.code, test.data...)
			<-opened
			if name == "adapter" {
				if shared.Load32(g.state(), stCmpProduced) != consumed {
					for shared.Load32(g.state(), stCmpProduced) != g.taken {
						g.next()
					}
				}
				g.img.Release()
				g.bringUp()
			} else {
				taken := 0
				for range 12 {
					switch c := g.await(); {
					case c.host == test.host && c.moved == 0:
						taken++
					case c.host != 0 || c.moved != 512:
						t.Errorf("%+v", c)
					}
				}
				if taken == 0 {
					t.Error("nothing was taken back")
				}
				g.img.Release()
			}
			if name == "device" || name == "bus" {
				g.clearAttention()
			}
			g.do(read10(0, 1), 512, completion{moved: 512})
		})
	}
}

// TestPolling drives the adapter as SeaBIOS does: without interrupts, by the status register.
func TestPolling(t *testing.T) {
	g := newGuest(t).bringUp()
	g.write(regMask, 0)
	g.submit(descriptor(1, 1, make([]byte, 6), 0))
	for g.read(regStatus)&intCompletion == 0 {
		runtime.Gosched()
	}
	if len(g.line) != 0 {
		t.Error("a masked interrupt")
	}
	g.write(regMask, intCompletion)
	if len(g.line) == 0 || !<-g.line {
		t.Error("no interrupt when it is let through")
	}
	g.write(regStatus, intCompletion)
	if g.read(regStatus) != 0 || <-g.line {
		t.Error("the interrupt stays")
	}
}

func TestState(t *testing.T) {
	g := newGuest(t).bringUp()
	g.dev.Pause()
	g.submit(descriptor(3, 1, read10(0, 1), 512)) // waits for the end of the pause
	g.write(regCommand, cmdAbort)
	g.write(regData, 11)
	restored := statetest.Cycle(t, g.dev, func() state.Device {
		d := newDevice(t, g.img, g.ram)
		d.Pause()
		g.plug(d)
		return d
	})
	g.dev = restored.(*Device)
	g.expect(completion{context: 3, moved: 512})
	g.do(read10(0, 1), 512, completion{moved: 512})
}

// FuzzRegisters does arbitrary accesses with arbitrary requests in the ring, with snapshots in between, and then expects an honest driver to
// succeed. Each step of 8 bytes is: what to do, a width, an offset and a value.
func FuzzRegisters(f *testing.F) {
	step := func(what, width uint8, off uint16, v uint32) []byte {
		return binary.LittleEndian.AppendUint32([]byte{what, width, byte(off), byte(off >> 8)}, v)
	}
	good := descriptor(5, 1, read10(0, 1), 512)
	f.Add(bytes.Join([][]byte{step(3, 0, 0, 3), step(0, 3, regKickRW, 0), step(2, 0, 0, 0), step(1, 3, regStatus, 0)}, nil), good[:])
	f.Add(bytes.Join([][]byte{step(3, 0, 0, 64), step(0, 3, regCommand, cmdResetBus), step(0, 3, regCommand, cmdAdapterReset)}, nil), good[:])
	f.Add(bytes.Join([][]byte{step(0, 3, regCommand, cmdAbort), step(0, 3, regData, 5), step(2, 0, 0, 0), step(0, 3, regData, 0), step(0, 3, regData, 1), step(0, 3, regData, 0)}, nil), good[:])
	f.Fuzz(func(t *testing.T, steps, entry []byte) {
		g := newGuest(t).bringUp()
		if len(entry) > 0 {
			copy(g.ram[reqPage*pageSize:cmpPage*pageSize], bytes.Repeat(entry, 2*pageSize/len(entry)+1))
		}
		for n := 0; len(steps) >= 8 && n < 100; n++ {
			width, off, v := int(steps[1]%8)+1, uint64(binary.LittleEndian.Uint16(steps[2:])%barSize), binary.LittleEndian.Uint32(steps[4:])
			width = min(width, int(barSize-off))
			var p [8]byte
			binary.LittleEndian.PutUint32(p[:], v)
			switch steps[0] % 4 {
			case 0:
				g.mmio.Write(g.base+off, p[:width])
			case 1:
				g.mmio.Read(g.base+off, p[:width])
			case 2:
				g.dev.Pause()
				var w state.Writer
				g.dev.Save(&w)
				d := newDevice(t, g.img, g.ram)
				d.Pause()
				g.plug(d)
				if err := d.Restore(state.NewReader(w.Data())); err != nil {
					t.Fatalf("a state that was just saved: %v", err)
				}
				d.Resume()
			case 3:
				shared.Store32(g.state(), stReqProduced, shared.Load32(g.state(), stReqProduced)+v)
			}
			steps = steps[8:]
		}
		for g.read(regResult) != failed { // ends what a set-up left behind
			g.write(regCommand, 0)
		}
		g.bringUp()
		g.do(read10(0, 1), 512, completion{moved: 512})
	})
}

// BenchmarkRead is one read with everything asleep: doorbell, worker, executor, completion, interrupt.
func BenchmarkRead(b *testing.B) {
	g := newGuest(b).bringUp()
	e := descriptor(1, 1, read10(0, 8), 4096)
	kick, clearStatus := make([]byte, 4), []byte{1, 0, 0, 0}
	b.ReportAllocs()
	for b.Loop() {
		g.store(e)
		g.mmio.Write(g.base+regKickRW, kick)
		for !<-g.line {
		}
		g.taken++
		shared.Store32(g.state(), stCmpConsumed, g.taken)
		g.mmio.Write(g.base+regStatus, clearStatus)
	}
}
