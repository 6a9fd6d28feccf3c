package ide

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/devices/ata/atatest"
	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

const (
	good    = 0x50
	request = 0x58
	failed  = 0x51
	lba     = 0x40
	second  = 0x10
	size    = 1 << 20
)

func TestPIO(t *testing.T) {
	image := atatest.NewImage(size)
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image}))
	for _, width := range []int{2, 4} {
		// A read interrupts for each sector; the last one ends it.
		d.command(0x20, 0, 3, 9, lba)
		for i := range 3 {
			if s := d.wait(); s != request {
				t.Fatalf("sector %d: status %#x", i, s)
			}
			if got := d.read(512, width); !bytes.Equal(got, image.Content((9+i)*512, 512)) {
				t.Fatalf("sector %d: wrong data", i)
			}
		}
		if s := d.alternate(); s != good || d.line.High() {
			t.Errorf("after the read: status %#x", s)
		}
		// A write asks for the first sector without an interrupt, and ends with one.
		data := bytes.Repeat([]byte{byte(width), 2, 3, 4}, 3*128)
		rises := d.line.Rises()
		d.command(0x34, 0, 3, 100, lba)
		if s := d.ready(); s != request || d.line.High() {
			t.Fatalf("write: status %#x", s)
		}
		d.write(data[:512], width)
		for i := 1; i < 3; i++ {
			if s := d.wait(); s != request {
				t.Fatalf("sector %d: status %#x", i, s)
			}
			d.write(data[512*i:][:512], width)
		}
		if s := d.wait(); s != good || d.line.Rises() != rises+3 {
			t.Errorf("after the write: status %#x, %d interrupts", s, d.line.Rises()-rises)
		}
		if !bytes.Equal(image.Content(51200, len(data)), data) {
			t.Error("the image does not hold what was written")
		}
	}
}

// TestMultiple moves more than the buffer holds, in blocks of 16 sectors, without interrupts.
func TestMultiple(t *testing.T) {
	image := atatest.NewImage(size)
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image}))
	d.control(controlNoInterrupt)
	d.command(0xc4, 0, 1, 0, lba)
	if s := d.ready(); s != failed || d.in(regError) != ata.ErrorAbort {
		t.Errorf("READ MULTIPLE before SET MULTIPLE: status %#x", s)
	}
	d.command(0xc6, 0, 16, 0, 0)
	if s := d.ready(); s != good {
		t.Fatalf("SET MULTIPLE: %#x", s)
	}
	const sectors = 300
	d.command(0x29, 0, sectors, 1, lba)
	var got []byte
	for left := sectors; left > 0; left -= 16 {
		if s := d.ready(); s != request {
			t.Fatalf("%d sectors left: status %#x", left, s)
		}
		got = append(got, d.read(min(16, left)*512, 4)...)
	}
	if s := d.ready(); s != good || !bytes.Equal(got, image.Content(512, sectors*512)) {
		t.Errorf("READ MULTIPLE EXT: status %#x, or wrong data", s)
	}
	d.command(0x39, 0, sectors, 500, lba)
	for at := 0; at < len(got); at += 16 * 512 {
		if s := d.ready(); s != request {
			t.Fatalf("at %d: status %#x", at, s)
		}
		d.write(got[at:min(at+16*512, len(got))], 2)
	}
	if s := d.ready(); s != good || !bytes.Equal(got, image.Content(500*512, sectors*512)) {
		t.Errorf("WRITE MULTIPLE EXT: status %#x, or wrong data", s)
	}
	if d.line.Rises() != 0 {
		t.Error("interrupts though nIEN is set")
	}
}

func TestDMA(t *testing.T) {
	image := atatest.NewImage(size)
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image}))
	pieces := []region{{buffers, 2}, {buffers + 0x1002, 1022}, {buffers + 0x10000, 0x10000}, {buffers + 0x40000, 512}}
	const sectors = 131
	for _, early := range []bool{false, true} {
		clear(d.ram[buffers:])
		d.dma(true, pieces...)
		if early {
			d.start()
		}
		d.command(0x25, 0, sectors, 7, lba)
		if !early {
			for d.phase() != dmaWait {
				runtime.Gosched()
			}
			if s := d.alternate(); s&ata.StatusBusy == 0 || d.line.High() {
				t.Errorf("before the start: status %#x", s)
			}
			d.start()
		}
		if s := d.wait(); s != good {
			t.Fatalf("READ DMA EXT: %#x", s)
		}
		if m := d.master(masterStatus, 1); m != masterInterrupt {
			t.Errorf("bus master status %#x", m)
		}
		d.stop()
		var got []byte
		for _, p := range pieces {
			got = append(got, d.ram[p.addr:p.addr+p.n]...)
		}
		if !bytes.Equal(got, image.Content(7*512, sectors*512)) {
			t.Error("wrong data")
		}
	}
	d.dma(false, pieces...)
	d.command(0x35, 0, sectors, 1000, lba)
	d.start()
	if s := d.wait(); s != good || !bytes.Equal(image.Content(1000*512, sectors*512), image.Content(7*512, sectors*512)) {
		t.Errorf("WRITE DMA EXT: %#x", s)
	}
	d.stop()
	// A table with more room than the command needs stays active until the driver stops it.
	d.dma(true, region{buffers, 4096})
	d.command(0xc8, 0, 1, 0, lba)
	d.start()
	if s, m := d.wait(), d.master(masterStatus, 1); s != good || m != masterInterrupt|masterActive {
		t.Errorf("READ DMA with a long table: %#x, bus master %#x", s, m)
	}
	d.stop()
	if m := d.master(masterStatus, 1); m&masterActive != 0 {
		t.Error("active after the stop")
	}
}

// phase is what the channel is about, since a driver cannot tell that the drive waits for the bus master.
func (d *driver) phase() phase {
	ch := d.k.channels[0]
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.phase
}

func TestDMAErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		pieces []region
		wrong  bool // direction
		err    uint8
		table  uint32
		sector uint64
	}{
		{name: "table too short", pieces: []region{{buffers, 512}}, err: ata.ErrorAbort},
		{name: "outside RAM", pieces: []region{{ramSize, 1024}}, err: ata.ErrorAbort},
		{name: "over the end of RAM", pieces: []region{{ramSize - 512, 1024}}, err: ata.ErrorAbort},
		{name: "wrong direction", pieces: []region{{buffers, 1024}}, wrong: true, err: ata.ErrorAbort},
		{name: "table outside RAM", pieces: []region{{buffers, 1024}}, table: 0xfffff000, err: ata.ErrorAbort},
		{name: "medium error", pieces: []region{{buffers, 1024}}, sector: 10, err: ata.ErrorUncorrectable},
		{name: "past the end", pieces: []region{{buffers, 1024}}, sector: size/512 - 1, err: ata.ErrorNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			image := atatest.NewImage(size)
			image.FailAt.Store(11 * 512)
			d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image}))
			d.dma(!test.wrong, test.pieces...)
			if test.table != 0 {
				d.setMaster(masterTable, 4, test.table)
			}
			d.start()
			d.command(0x25, 0, 2, test.sector, lba)
			if s := d.wait(); s != failed || d.in(regError) != test.err {
				t.Errorf("status %#x, error %#x", s, d.in(regError))
			}
			if test.err == ata.ErrorUncorrectable && d.in(regLBA) != 11 {
				t.Errorf("sector %d is said to be bad", d.in(regLBA))
			}
			d.stop()
			if m := d.master(masterStatus, 1); m&masterActive != 0 || (m&masterError != 0) != (test.err == ata.ErrorAbort) {
				t.Errorf("bus master status %#x", m)
			}
			d.dma(true, region{buffers, 512})
			d.command(0xc8, 0, 1, 1, lba)
			d.start()
			if s := d.wait(); s != good || !bytes.Equal(d.ram[buffers:buffers+512], image.Content(512, 512)) {
				t.Errorf("the next command: %#x", s)
			}
		})
	}
}

// TestPresence looks for drives as drivers do.
func TestPresence(t *testing.T) {
	image := atatest.NewImage(size)
	for name, drives := range map[string][Drives]bool{"both": {true, true}, "first": {true, false}, "second": {false, true}, "none": {}} {
		t.Run(name, func(t *testing.T) {
			var devices []ata.Device
			for _, there := range drives {
				if there {
					devices = append(devices, newDisk(t, ata.DiskConfig{Image: image}))
				} else {
					devices = append(devices, nil)
				}
			}
			d := newDriver(t, devices...)
			d.control(controlReset)
			d.control(0)
			for i, there := range drives {
				d.out(regDevice, uint8(i)*second)
				s := d.ready()
				switch {
				case !there && (s != 0 || d.in(regCount) != 0):
					t.Errorf("drive %d is there, status %#x", i, s)
				case there && (s != good || d.in(regCount) != 1 || d.in(regLBA) != 1 || d.in(regError) != 1):
					t.Errorf("drive %d: status %#x, no signature", i, s)
				}
			}
			for i, there := range drives {
				d.out(regDevice, uint8(i)*second)
				d.out(regLBA, 0xaa)
				if (d.in(regLBA) == 0xaa) != there {
					t.Errorf("drive %d: a register holds %#x", i, d.in(regLBA))
				}
			}
		})
	}
}

// TestReset resets the channel while the medium holds up a transfer: it is back only when guest memory is left alone.
func TestReset(t *testing.T) {
	for _, op := range []uint8{0xc8, 0x20, 0x30} {
		t.Run(fmt.Sprintf("%#x", op), func(t *testing.T) {
			image := atatest.NewImage(size)
			gate := image.Hold(0)
			d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image}), newCD(t, atatest.NewImage(size)))
			d.dma(true, region{buffers, 512})
			d.start()
			d.command(op, 0, 1, 0, lba)
			if op == 0x30 {
				d.ready()
				d.write(make([]byte, 512), 2)
			}
			<-gate.Reached
			d.control(controlReset)
			d.control(0)
			if d.alternate()&ata.StatusBusy == 0 {
				t.Error("not busy while a transfer is under way")
			}
			close(gate.Open)
			if s := d.ready(); s != good || d.in(regError) != 1 || d.line.High() {
				t.Errorf("after the reset: status %#x", s)
			}
			d.out(regDevice, second)
			if s := d.alternate(); s != 0 || d.in(regLBA+1) != 0x14 || d.in(regLBA+2) != 0xeb {
				t.Errorf("the packet device: status %#x", s)
			}
			d.command(0xe7, 0, 0, 0, 0)
			if s := d.wait(); s != good {
				t.Errorf("the next command: %#x", s)
			}
		})
	}
}

// packetDriver sends packets to the first drive of a channel.
func (d *driver) packet(dma bool, limit int, cdb ...byte) {
	d.t.Helper()
	features := uint8(0)
	if dma {
		features = 1
	}
	d.command(0xa0, features, 0, uint64(limit)<<8, 0)
	if s := d.ready(); s != request || d.in(regCount) != reasonCommand {
		d.t.Fatalf("PACKET: status %#x, reason %d", s, d.in(regCount))
	}
	p := make([]byte, 12)
	copy(p, cdb)
	d.write(p, 2)
}

// receive reads what a packet returns by PIO, and the ending status.
func (d *driver) receive() (p []byte, status uint8) {
	for {
		s := d.wait()
		if s&ata.StatusRequest == 0 {
			return p, s
		}
		if d.in(regCount) != reasonToHost {
			d.t.Fatalf("reason %d", d.in(regCount))
		}
		n := int(d.in(regLBA+1)) | int(d.in(regLBA+2))<<8
		p = append(p, d.read(n, 2)...)
	}
}

func TestPackets(t *testing.T) {
	image := atatest.NewImage(size)
	d := newDriver(t, newCD(t, image))
	d.command(0xec, 0, 0, 0, 0)
	if s := d.wait(); s != failed || d.in(regLBA+1) != 0x14 || d.in(regLBA+2) != 0xeb {
		t.Errorf("IDENTIFY: status %#x, no signature", s)
	}
	d.command(0xa1, 0, 0, 0, 0)
	if s := d.wait(); s != request {
		t.Fatalf("IDENTIFY PACKET: %#x", s)
	}
	if p := d.read(512, 2); binary.LittleEndian.Uint16(p) != 0x85c0 {
		t.Errorf("word 0 is % x", p[:2])
	}
	d.packet(false, 0, 0) // TEST UNIT READY
	if _, s := d.receive(); s != failed || d.in(regError) != 6<<4 || d.in(regCount) != 3 {
		t.Errorf("TEST UNIT READY: status %#x, error %#x, reason %d", s, d.in(regError), d.in(regCount))
	}
	d.packet(false, 8, 3, 0, 0, 0, 18)
	if p, s := d.receive(); s != good || len(p) != 18 || p[2] != 6 || p[12] != 0x29 {
		t.Errorf("REQUEST SENSE: status %#x, % x", s, p)
	}
	const blocks = 70 // more than the buffer holds
	for _, limit := range []int{0, 2048, 0xffff, 31} {
		d.packet(false, limit, 0x28, 0, 0, 0, 0, 5, 0, 0, blocks)
		if p, s := d.receive(); s != good || !bytes.Equal(p, image.Content(5*2048, blocks*2048)) {
			t.Errorf("READ(10), %d bytes at once: status %#x, %d bytes", limit, s, len(p))
		}
	}
	d.dma(true, region{buffers, 0x10000}, region{buffers + 0x10000, 0x10000}, region{buffers + 0x30000, blocks*2048 - 0x20000})
	d.packet(true, 0, 0xa8, 0, 0, 0, 0, 5, 0, 0, 0, blocks)
	d.start()
	if s := d.wait(); s != good {
		t.Fatalf("READ(12) by DMA: %#x", s)
	}
	if got := append(bytes.Clone(d.ram[buffers:buffers+0x20000]), d.ram[buffers+0x30000:][:blocks*2048-0x20000]...); !bytes.Equal(got, image.Content(5*2048, blocks*2048)) {
		t.Error("READ(12) by DMA: wrong data")
	}
	d.stop()
	d.dma(true, region{buffers, 36})
	d.packet(true, 0, 0x12, 0, 0, 0, 36)
	d.start()
	if s := d.wait(); s != good || d.ram[buffers] != 5 {
		t.Errorf("INQUIRY by DMA: %#x", s)
	}
	d.stop()
	// DEVICE RESET ends a command without an interrupt.
	d.packet(false, 0, 0x28, 0, 0, 0, 0, 5, 0, 0, blocks)
	d.line.Wait()
	d.out(regStatus, opDeviceReset)
	if s := d.ready(); s != 0 || d.line.High() || d.in(regLBA+1) != 0x14 {
		t.Errorf("DEVICE RESET: status %#x", s)
	}
}

// TestDeviceReset resets a drive whose medium holds up a read.
func TestDeviceReset(t *testing.T) {
	image := atatest.NewImage(size)
	d := newDriver(t, newCD(t, image))
	d.packet(false, 0, 0)
	d.receive()
	gate := image.Hold(0)
	d.packet(false, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1)
	<-gate.Reached
	d.out(regStatus, opDeviceReset)
	if d.alternate()&ata.StatusBusy == 0 {
		t.Error("not busy while a transfer is under way")
	}
	close(gate.Open)
	if s := d.ready(); s != 0 || d.line.High() {
		t.Errorf("DEVICE RESET: status %#x", s)
	}
	d.packet(false, 0, 0)
	if _, s := d.receive(); s != good {
		t.Errorf("the next command: %#x", s)
	}
}

func TestDiagnostic(t *testing.T) {
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: atatest.NewImage(size)}), newCD(t, atatest.NewImage(size)))
	d.out(regDevice, second)
	d.out(regStatus, opDiagnostic)
	if s := d.wait(); s != good || d.in(regError) != 1 || d.in(regDevice)&second != 0 {
		t.Errorf("status %#x, error %#x", s, d.in(regError))
	}
	d.out(regDevice, second)
	if d.in(regLBA+2) != 0xeb {
		t.Error("the second drive shows no signature")
	}
}

// TestSnapshotCycle saves and restores in the middle of commands of all kinds.
func TestSnapshotCycle(t *testing.T) {
	image, disc := atatest.NewImage(size), atatest.NewImage(size)
	drives := func() []ata.Device {
		return []ata.Device{newCD(t, disc), newDisk(t, ata.DiskConfig{Image: image}), nil, newDisk(t, ata.DiskConfig{Image: image})}
	}
	d := newDriver(t, drives()...)
	cycle := func() {
		t.Helper()
		d.k = statetest.Cycle(t, d.k, func() state.Device { return newController(t, d.ram, d.line, drives()...) }).(*Controller)
	}
	cycle()
	d.packet(false, 0, 0)
	d.receive()
	d.command(0xa0, 0, 0, 2048<<8, 0)
	d.ready()
	cycle() // a packet is waited for
	d.write([]byte{0x28, 0, 0, 0, 0, 9}, 2)
	cycle() // half of it is there
	d.write([]byte{0, 0, 2, 0, 0, 0}, 2)
	d.line.Wait()
	half := d.read(1000, 2)
	cycle() // data is waited for
	if rest, s := append(half, d.read(1048, 2)...), d.wait(); s != request || !bytes.Equal(rest, disc.Content(9*2048, 2048)) {
		t.Fatalf("first block: status %#x, or wrong data", s)
	}
	cycle()
	if p := d.read(2048, 2); !bytes.Equal(p, disc.Content(10*2048, 2048)) {
		t.Fatal("second block: wrong data")
	}
	if s := d.wait(); s != good {
		t.Fatalf("packet: status %#x", s)
	}
	d.command(0x30, 0, 2, 50, lba|second)
	d.ready()
	d.write(make([]byte, 512), 2)
	cycle() // the second sector is waited for
	if s := d.wait(); s != request {
		t.Fatalf("write: status %#x", s)
	}
	d.write(make([]byte, 512), 4)
	if s := d.wait(); s != good || !bytes.Equal(image.Content(50*512, 1024), make([]byte, 1024)) {
		t.Fatalf("write: status %#x", s)
	}
	d.dma(true, region{buffers, 512})
	d.command(0x25, 0, 1, 77, lba|second)
	for d.phase() != dmaWait {
		runtime.Gosched()
	}
	cycle() // the bus master is waited for
	d.k.Pause()
	d.start()
	cycle() // and has been started while nobody was there
	if s := d.wait(); s != good || !bytes.Equal(d.ram[buffers:buffers+512], image.Content(77*512, 512)) {
		t.Fatalf("READ DMA EXT: status %#x", s)
	}
}

func TestPanickingImage(t *testing.T) {
	image := atatest.NewImage(size)
	image.PanicAt.Store(0)
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image}))
	d.command(0x20, 0, 1, 0, lba)
	if s := d.wait(); s != failed|ata.StatusFault {
		t.Errorf("status %#x", s)
	}
	d.command(0x20, 0, 1, 1, lba)
	if s := d.wait(); s != request {
		t.Errorf("the next command: %#x", s)
	}
}

// TestGate has a limit of rate hold a write back; a reset ends the wait.
func TestGate(t *testing.T) {
	bucket := throttle.NewBucket(clock.Host, throttle.Rate{PerSecond: 1, Burst: 1})
	image := atatest.NewImage(size)
	d := newDriver(t, newDisk(t, ata.DiskConfig{Image: image, Writes: &throttle.Gate{Bytes: []*throttle.Bucket{bucket}}}))
	bucket.Take(1 << 30)
	write := func() {
		d.dma(false, region{buffers, 512})
		d.command(0x35, 0, 1, 0, lba)
		d.start()
	}
	write()
	d.k.Pause() // whatever was to begin has begun
	if d.phase() != begin || image.Writes.Load() != 0 {
		t.Error("a write was not held back")
	}
	d.k.Resume()
	d.control(controlReset)
	d.control(0)
	if s := d.ready(); s != good {
		t.Errorf("after the reset: status %#x", s)
	}
	d.stop()
	write()
	bucket.Set(throttle.Rate{})
	if s := d.wait(); s != good || image.Writes.Load() != 1 {
		t.Errorf("after the limit was lifted: status %#x, %d writes", s, image.Writes.Load())
	}
}
