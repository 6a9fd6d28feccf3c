package ahci

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/devices/ata/atatest"
	"github.com/sharevm/vmm/devices/scsi"
	"github.com/sharevm/vmm/disk/imagetest"
	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

// yield lets the executors go on, where a driver polls.
func yield() { runtime.Gosched() }

const (
	opReadDMA, opWriteDMA       = 0x25, 0x35
	opReadQueued, opWriteQueued = 0x60, 0x61
	opFlush, opIdentify         = 0xea, 0xec
	opReadLog, opPacket         = 0x2f, 0xa0
	good                        = 0x50
	size                        = 1 << 20
)

func TestCapabilities(t *testing.T) {
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: atatest.NewImage(size)}), nil, nil)
	for _, r := range []struct {
		name string
		off  int
		want uint32
	}{
		{"CAP", hostCap, 0xc1341f02},
		{"GHC", hostControl, 0x80000002},
		{"PI", hostPorts, 7},
		{"VS", hostVersion, 0x10301},
		{"PxSIG", at(0, portSignature), 0x101},
		{"PxSSTS", at(0, portLink), 0x133},
		{"PxTFD", at(0, portTask), 0x150},
		{"PxCMD", at(0, portCommand), 0xc017},
		{"PxSSTS without a drive", at(1, portLink), 0},
		{"PxTFD without a drive", at(1, portTask), 0x7f},
		{"PxSIG without a drive", at(1, portSignature), 0xffffffff},
		{"a port that is not there", at(3, portCommand), 0},
	} {
		if got := d.get(r.off); got != r.want {
			t.Errorf("%s is %#x, want %#x", r.name, got, r.want)
		}
	}
	if f := d.ram[frames+receivedRegister:]; f[0] != fisToHost || f[2] != good || f[3] != 1 || f[4] != 1 || f[12] != 1 {
		t.Errorf("signature frame % x", f[:fisLength])
	}
}

func TestTransfers(t *testing.T) {
	image := atatest.NewImage(size)
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image}))
	if s := d.do(request{op: opIdentify, data: []piece{{buffers, 512}}}); s != good {
		t.Fatalf("IDENTIFY: %#x", s)
	}
	if n := binary.LittleEndian.Uint64(d.ram[buffers+200:]); n != size/512 {
		t.Errorf("%d sectors", n)
	}
	if f := d.ram[frames+receivedPIO:]; f[0] != fisPIOSetup || f[15] != good || f[16] != 0 || f[17] != 2 {
		t.Errorf("PIO setup frame % x", f[:fisLength])
	}
	// Pieces of all lengths, down to two bytes.
	pieces := []piece{{buffers + 0x1000, 2}, {buffers + 0x2002, 1022}, {buffers + 0x4000, 4096}}
	for i := range 64 {
		pieces = append(pieces, piece{buffers + 0x8000 + i*4, 2})
	}
	pieces = append(pieces, piece{buffers + 0x9000, 3*512 - 128 + 100}) // more than there is
	const sectors = 10 + 3
	if s := d.do(request{op: opReadDMA, lba: 5, count: sectors, device: 0x40, data: pieces}); s != good {
		t.Fatalf("READ: %#x", s)
	}
	var got []byte
	for _, p := range pieces {
		got = append(got, d.ram[p.addr:p.addr+p.n]...)
	}
	if !bytes.Equal(got[:sectors*512], image.Content(5*512, sectors*512)) {
		t.Error("wrong data")
	}
	if n := binary.LittleEndian.Uint32(d.ram[lists+4:]); n != sectors*512 {
		t.Errorf("%d bytes are said to be moved", n)
	}
	copy(d.ram[buffers:], bytes.Repeat([]byte("written "), 128))
	if s := d.do(request{op: opWriteDMA, lba: 100, count: 2, device: 0x40, data: []piece{{buffers, 1024}}}); s != good {
		t.Fatalf("WRITE: %#x", s)
	}
	if !bytes.Equal(image.Content(51200, 1024), d.ram[buffers:buffers+1024]) {
		t.Error("the image does not hold what was written")
	}
	if s := d.do(request{op: opFlush}); s != good || image.Durable.Load() != image.Writes.Load() {
		t.Errorf("FLUSH: %#x, %d of %d writes durable", s, image.Durable.Load(), image.Writes.Load())
	}
}

// TestQueue has queued commands overtake one that the medium holds up.
func TestQueue(t *testing.T) {
	image := atatest.NewImage(size)
	gate := image.Hold(0)
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image}))
	d.issue(3, queued(opReadQueued, 3, 0, 1, piece{buffers, 512}))
	<-gate.Reached
	for slot := 4; slot < 32; slot++ {
		d.issue(slot, queued(opReadQueued, slot, uint64(slot), 1, piece{buffers + slot*512, 512}))
	}
	for d.get(at(0, portActive)) != 1<<3 {
		if s := d.interrupt(); s&intDeviceBit == 0 || s&intTaskFile != 0 {
			t.Fatalf("interrupt %#x", s)
		}
	}
	if d.get(at(0, portIssue)) != 0 {
		t.Error("a queued command was not taken by the drive")
	}
	if got := d.ram[buffers+4*512 : buffers+32*512]; !bytes.Equal(got, image.Content(4*512, 28*512)) {
		t.Error("wrong data")
	}
	close(gate.Open)
	for d.get(at(0, portActive)) != 0 {
		d.interrupt()
	}
	if !bytes.Equal(d.ram[buffers:buffers+512], image.Content(0, 512)) {
		t.Error("wrong data in the one that was held up")
	}
	// One that is not queued waits for those that are.
	gate = image.Hold(512)
	d.issue(1, queued(opReadQueued, 1, 1, 1, piece{buffers, 512}))
	<-gate.Reached
	d.issue(2, request{op: opFlush})
	if d.get(at(0, portIssue)) != 1<<2 || image.Flushes.Load() != 0 {
		t.Error("FLUSH overtook a queued command")
	}
	close(gate.Open)
	d.await()
	if image.Flushes.Load() != 1 || d.get(at(0, portActive)) != 0 {
		t.Error("FLUSH was not carried out")
	}
}

// TestSlotIssuedAgain issues a slot whose command is under way, and again after a stop of the port that left it behind.
func TestSlotIssuedAgain(t *testing.T) {
	image := atatest.NewImage(size)
	gate := image.Hold(0)
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image}))
	d.issue(3, queued(opReadQueued, 3, 0, 1, piece{buffers, 512}))
	<-gate.Reached
	for range 2 {
		d.issue(3, queued(opReadQueued, 3, 7, 1, piece{buffers + 512, 512}))
		if d.get(at(0, portIssue)) != 1<<3 {
			t.Error("the slot was taken while its command is under way")
		}
		d.set(at(0, portCommand), cmdReceive)
		d.set(at(0, portCommand), cmdReceive|cmdStart)
	}
	d.issue(3, queued(opReadQueued, 3, 7, 1, piece{buffers + 512, 512}))
	close(gate.Open)
	for d.get(at(0, portActive)) != 0 {
		yield()
	}
	if !bytes.Equal(d.ram[buffers:buffers+512], image.Content(0, 512)) || !bytes.Equal(d.ram[buffers+512:][:512], image.Content(7*512, 512)) {
		t.Error("wrong data")
	}
}

// TestQueueError fails one of several queued commands: the port stops, the log names it, and the driver starts over.
func TestQueueError(t *testing.T) {
	image := atatest.NewImage(size)
	image.FailAt.Store(20 * 512)
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image}))
	d.issue(7, queued(opReadQueued, 7, 16, 8, piece{buffers, 8 * 512}))
	s := d.interrupt()
	for s&intTaskFile == 0 {
		s = d.interrupt()
	}
	if got := d.get(at(0, portTask)); got != 0x4051 {
		t.Errorf("PxTFD %#x", got)
	}
	if d.get(at(0, portActive)) != 1<<7 {
		t.Errorf("PxSACT %#x", d.get(at(0, portActive)))
	}
	d.issue(8, queued(opReadQueued, 8, 0, 1, piece{buffers, 512}))
	if d.get(at(0, portIssue)) != 1<<8 {
		t.Error("a command was taken after an error")
	}
	d.stop(0)
	if d.get(at(0, portActive)) != 0 || d.get(at(0, portIssue)) != 0 {
		t.Error("commands outlive ST")
	}
	d.start(0)
	if s := d.do(request{op: opReadLog, lba: 0x10, count: 1, data: []piece{{buffers, 512}}}); s != good {
		t.Fatalf("READ LOG EXT: %#x", s)
	}
	if p := d.ram[buffers:]; p[0] != 7 || p[2] != 0x51 || p[3] != 0x40 || p[4] != 20 {
		t.Errorf("the log holds % x", p[:16])
	}
	image.FailAt.Store(-1)
	d.issue(7, queued(opReadQueued, 7, 16, 8, piece{buffers, 8 * 512}))
	for d.get(at(0, portActive)) != 0 {
		d.interrupt()
	}
}

func TestErrors(t *testing.T) {
	const outside = ramSize
	for _, test := range []struct {
		name     string
		r        request
		readOnly bool
		status   uint32 // PxIS must hold
		task     uint32
	}{
		{name: "no such command", r: request{op: 0xf1}, status: intTaskFile | intRegister, task: 0x451},
		{name: "past the end", r: request{op: opReadDMA, lba: size/512 - 1, count: 2, device: 0x40, data: []piece{{buffers, 1024}}}, status: intTaskFile, task: 0x1051},
		{name: "no memory for the data", r: request{op: opReadDMA, lba: 0, count: 2, device: 0x40, data: []piece{{buffers, 512}}}, status: intTaskFile | intOverflow, task: 0x451},
		{name: "data outside RAM", r: request{op: opReadDMA, lba: 0, count: 1, device: 0x40, data: []piece{{outside, 512}}}, status: intTaskFile, task: 0x451},
		{name: "data over the end of RAM", r: request{op: opReadDMA, lba: 0, count: 1, device: 0x40, data: []piece{{outside - 256, 512}}}, status: intTaskFile, task: 0x451},
		{name: "write, read-only", readOnly: true, r: request{op: opWriteDMA, lba: 0, count: 1, device: 0x40, data: []piece{{buffers, 512}}}, status: intTaskFile, task: 0x451},
		{name: "write, medium error", r: request{op: opWriteDMA, lba: 40, count: 1, device: 0x40, data: []piece{{buffers, 512}}}, status: intTaskFile, task: 0x471},
		{name: "read, medium error", r: request{op: opReadDMA, lba: 39, count: 2, device: 0x40, data: []piece{{buffers, 1024}}}, status: intTaskFile, task: 0x4051},
		{name: "a tag of another slot", r: queued(opReadQueued, 5, 0, 1, piece{buffers, 512}), status: intTaskFile, task: 0x451},
		{name: "a packet for a disk", r: request{op: opPacket, packet: make([]byte, 12)}, status: intTaskFile, task: 0x451},
		{name: "a panic", r: request{op: opReadDMA, lba: 50, count: 1, device: 0x40, data: []piece{{buffers, 512}}}, status: intTaskFile, task: 0x471},
	} {
		t.Run(test.name, func(t *testing.T) {
			image := atatest.NewImage(size)
			image.FailAt.Store(40 * 512)
			image.PanicAt.Store(50 * 512)
			before := image.Content(0, size)
			d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image, ReadOnly: test.readOnly}))
			d.issue(0, test.r)
			if s := d.interrupt(); s&test.status != test.status {
				t.Errorf("PxIS %#x, want %#x", s, test.status)
			}
			if s := d.get(at(0, portTask)); s != test.task {
				t.Errorf("PxTFD %#x, want %#x", s, test.task)
			}
			if !bytes.Equal(before, image.Content(0, size)) {
				t.Error("the image was changed")
			}
			d.stop(0)
			d.start(0)
			if s := d.do(request{op: opReadDMA, lba: 1, count: 1, device: 0x40, data: []piece{{buffers, 512}}}); s != good {
				t.Errorf("the next command: %#x", s)
			}
		})
	}
	t.Run("a list outside RAM", func(t *testing.T) {
		d := newDriver(t, newDisk(t, ata.DiskConfig{Image: atatest.NewImage(size)}))
		d.set(at(0, portCommandList), ramSize)
		d.set(at(0, portIssue), 1)
		if s := d.interrupt(); s&intBusFatal == 0 {
			t.Errorf("PxIS %#x", s)
		}
	})
}

// TestReset has a medium hold up a read while the port is reset in each way: the port is back only when guest memory is left alone.
func TestReset(t *testing.T) {
	for name, reset := range map[string]struct {
		start func(*driver)
		over  func(*driver) bool
	}{
		"COMRESET": {func(d *driver) {
			d.set(at(0, portCommand), cmdReceive)
			d.set(at(0, portControl), detReset)
			d.set(at(0, portControl), 0)
		}, func(d *driver) bool { return d.get(at(0, portLink)) == linkUp }},
		"stop": {func(d *driver) { d.set(at(0, portCommand), cmdReceive) },
			func(d *driver) bool { return d.get(at(0, portCommand))&cmdRunning == 0 }},
		"HBA": {func(d *driver) { d.set(hostControl, controlReset) },
			func(d *driver) bool { return d.get(hostControl)&controlReset == 0 }},
	} {
		for _, op := range []uint8{opReadDMA, opReadQueued} {
			t.Run(name, func(t *testing.T) {
				image := atatest.NewImage(size)
				gate := image.Hold(0)
				d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image}))
				r := request{op: op, count: 1, device: 0x40, data: []piece{{buffers, 512}}}
				if op == opReadQueued {
					r = queued(op, 0, 0, 1, piece{buffers, 512})
				}
				d.issue(0, r)
				<-gate.Reached
				reset.start(d)
				if reset.over(d) {
					t.Error("the reset was over while a transfer was under way")
				}
				close(gate.Open)
				for !reset.over(d) {
					yield()
				}
				d.set(hostControl, controlEnable|controlInterrupt)
				d.start(0)
				if d.get(at(0, portIssue))|d.get(at(0, portActive)) != 0 || d.get(at(0, portTask)) != 0x150 && name != "stop" {
					t.Errorf("PxCI %#x, PxSACT %#x, PxTFD %#x", d.get(at(0, portIssue)), d.get(at(0, portActive)), d.get(at(0, portTask)))
				}
				if s := d.do(request{op: opReadDMA, lba: 1, count: 1, device: 0x40, data: []piece{{buffers, 512}}}); s != good {
					t.Errorf("afterwards: %#x", s)
				}
			})
		}
	}
}

func TestSoftReset(t *testing.T) {
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: atatest.NewImage(size)}))
	for _, control := range []uint8{fisReset, 0} {
		d.issue(0, request{control: true, device: control})
		for d.get(at(0, portIssue)) != 0 {
			yield()
		}
		if busy := d.get(at(0, portTask))&ata.StatusBusy != 0; busy != (control != 0) {
			t.Errorf("busy %v with SRST %d", busy, control)
		}
	}
	if s := d.get(at(0, portTask)); s != 0x150 {
		t.Errorf("PxTFD %#x", s)
	}
	if d.get(at(0, portSignature)) != 0x101 {
		t.Error("no signature")
	}
}

func TestMessages(t *testing.T) {
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: atatest.NewImage(size)}))
	d.set(hostControl, controlEnable) // no interrupts
	d.issue(0, request{op: opFlush})
	for d.get(at(0, portIssue)) != 0 {
		yield()
	}
	if d.line.High() {
		t.Error("an interrupt though they are off")
	}
	d.set(hostControl, controlEnable|controlInterrupt)
	d.line.Wait()
	d.set(at(0, portStatus), ^uint32(0))
	if !d.line.High() {
		t.Error("the interrupt went away before IS was cleared")
	}
	d.set(hostStatus, 1)
	if d.line.High() {
		t.Error("the interrupt stays")
	}
	// What the port still has to tell brings it up again.
	d.set(at(0, portEnable), 0)
	d.do2(request{op: opFlush})
	if d.line.High() {
		t.Error("an interrupt that the port does not enable")
	}
	d.set(at(0, portEnable), intAll)
	d.set(hostStatus, 1)
	if !d.line.High() || d.get(hostStatus) != 1 {
		t.Error("no interrupt for what is still pending")
	}
}

// do2 carries out a command without interrupts.
func (d *driver) do2(r request) {
	d.issue(0, r)
	for d.get(at(0, portIssue)) != 0 {
		yield()
	}
}

// newCD returns a drive with a disc of n blocks.
func newCD(t testing.TB, image *imagetest.Image) *ata.CDROM {
	t.Helper()
	c := scsi.CDROMConfig{KeepSense: true}
	if image != nil {
		c.Image = image
	}
	unit, err := scsi.NewCDROM(c)
	if err != nil {
		t.Fatal(err)
	}
	d, err := ata.NewCDROM(ata.CDROMConfig{Unit: unit, Model: "CD", SATA: true})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPackets(t *testing.T) {
	image := atatest.NewImage(size)
	d := newDriver(t, newCD(t, image))
	if d.get(at(0, portSignature)) != 0xeb140101 {
		t.Fatalf("signature %#x", d.get(at(0, portSignature)))
	}
	packet := func(data []piece, cdb ...byte) uint32 {
		p := make([]byte, 12)
		copy(p, cdb)
		return d.do(request{op: opPacket, features: 1, packet: p, data: data})
	}
	s := packet(nil, 0) // TEST UNIT READY: the power has come on
	if s != 0x6051 {
		t.Errorf("first command: %#x", s)
	}
	d.stop(0)
	d.start(0)
	if s := packet([]piece{{buffers, 18}}, 3, 0, 0, 0, 18); s != good || d.ram[buffers+2] != 6 || d.ram[buffers+12] != 0x29 {
		t.Errorf("REQUEST SENSE: %#x, % x", s, d.ram[buffers:buffers+18])
	}
	if s := packet([]piece{{buffers, 36}}, 0x12, 0, 0, 0, 36); s != good || d.ram[buffers] != 5 {
		t.Errorf("INQUIRY: %#x, % x", s, d.ram[buffers:buffers+36])
	}
	// More pieces than one part of a command has.
	var pieces []piece
	for i := range 1700 {
		pieces = append(pieces, piece{buffers + i*512, 512})
	}
	d.ram = d.ram[:len(d.ram):len(d.ram)]
	blocks := 1700 * 512 / 2048
	d.set(at(0, portIssue), 0)
	table := 0x200000
	d.fill(0, request{op: opPacket, features: 1, packet: []byte{0x28, 0, 0, 0, 0, 3, 0, byte(blocks >> 8), byte(blocks), 0, 0, 0}})
	copy(d.ram[table:], d.ram[tables:tables+tablePRDT])
	le := binary.LittleEndian
	le.PutUint32(d.ram[lists:], le.Uint32(d.ram[lists:])|uint32(len(pieces))<<16)
	le.PutUint64(d.ram[lists+8:], uint64(table))
	for i, p := range pieces {
		le.PutUint64(d.ram[table+tablePRDT+i*prdSize:], uint64(p.addr))
		le.PutUint32(d.ram[table+tablePRDT+i*prdSize+12:], uint32(p.n-1))
	}
	d.set(at(0, portIssue), 1)
	if s := d.await(); s != good {
		t.Fatalf("READ: %#x", s)
	}
	if !bytes.Equal(d.ram[buffers:buffers+blocks*2048], image.Content(3*2048, blocks*2048)) {
		t.Error("wrong data")
	}
	if s := packet(nil, 0x28, 0, 0, 0, 0xff, 0, 0, 0, 1); s != 0x5051 && s != 0x451 {
		t.Errorf("read past the end: %#x", s)
	}
}

func TestSnapshotCycle(t *testing.T) {
	image, disc := atatest.NewImage(size), atatest.NewImage(size)
	drives := func() []ata.Device {
		return []ata.Device{newDisk(t, ata.DiskConfig{Image: image}), nil, newCD(t, disc)}
	}
	d := newDriver(t, drives()...)
	for range 3 {
		if s := d.do(request{op: opReadDMA, lba: 9, count: 1, device: 0x40, data: []piece{{buffers, 512}}}); s != good {
			t.Fatalf("READ: %#x", s)
		}
		// Commands that nobody has begun yet come along.
		d.k.Pause()
		d.issue(4, queued(opReadQueued, 4, 77, 1, piece{buffers + 4096, 512}))
		next := statetest.Cycle(t, d.k, func() state.Device { return newController(t, d.ram, d.line, d.msi, drives()...) })
		d.use(next.(*Controller))
		for d.get(at(0, portActive)) != 0 {
			d.interrupt()
		}
		if !bytes.Equal(d.ram[buffers+4096:][:512], image.Content(77*512, 512)) {
			t.Error("wrong data after the cycle")
		}
	}
}

func TestPauseFinishesWhatIsUnderWay(t *testing.T) {
	image := atatest.NewImage(size)
	gate := image.Hold(0)
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image}))
	d.issue(0, queued(opReadQueued, 0, 0, 1, piece{buffers, 512}))
	<-gate.Reached
	paused := make(chan struct{})
	go func() { d.k.Pause(); close(paused) }()
	close(gate.Open)
	<-paused
	if d.get(at(0, portActive)) != 0 {
		t.Error("a command is still under way")
	}
	d.issue(1, queued(opReadQueued, 1, 0, 1, piece{buffers, 512}))
	if d.get(at(0, portIssue)) != 2 {
		t.Error("a paused port took a command")
	}
	d.k.Resume()
	for d.get(at(0, portActive)) != 0 {
		d.interrupt()
	}
}

func TestNewRefuses(t *testing.T) {
	for _, n := range []int{0, 31} {
		if _, err := New(Config{Drives: make([]ata.Device, n)}); err == nil {
			t.Errorf("%d ports were accepted", n)
		}
	}
}

// TestGate has a limit of rate hold a queued read back, which waits where it is and lets others of no cost pass.
func TestGate(t *testing.T) {
	bucket := throttle.NewBucket(clock.Host, throttle.Rate{PerSecond: 1, Burst: 1})
	image := atatest.NewImage(size)
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image, Reads: &throttle.Gate{Operations: []*throttle.Bucket{bucket}}}))
	d.issue(0, queued(opReadQueued, 0, 0, 1, piece{buffers, 512}))
	for d.get(at(0, portActive)) != 0 {
		yield()
	}
	bucket.Take(1000)
	d.issue(1, queued(opReadQueued, 1, 0, 1, piece{buffers, 512}))
	d.k.Pause() // whatever was to begin has begun
	if d.get(at(0, portIssue)) != 1<<1 {
		t.Error("a read was not held back")
	}
	d.k.Resume()
	bucket.Set(throttle.Rate{})
	for d.get(at(0, portActive)) != 0 {
		yield()
	}
}
