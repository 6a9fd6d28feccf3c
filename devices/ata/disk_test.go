package ata_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/devices/ata/atatest"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/imagetest"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/vmm/state"
)

const (
	size    = 64 << 20
	sectors = size / 512
	good    = 0x50
	lba     = 0x40
)

func newDisk(t testing.TB, c ata.DiskConfig) *ata.Disk {
	t.Helper()
	d, err := ata.NewDisk(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// run carries out a command, its data in pieces of at most part bytes, and returns it.
func run(d ata.Device, r ata.Registers, data []byte, part int) *ata.Command {
	c := &ata.Command{}
	c.Start(r)
	d.Decode(c)
	for at := 0; !c.Finished(); {
		n := min(part, c.Length-c.Done, len(data)-at)
		d.Execute(c, [][]byte{data[at : at+n/3], data[at+n/3 : at+n]})
		at += n
	}
	return c
}

// do carries out a command without data and returns status and error.
func do(d ata.Device, op uint8, features, count uint16, address uint64) (status, bits uint8) {
	c := run(d, ata.Registers{Opcode: op, Features: features, Count: count, LBA: address, Device: lba}, nil, 1)
	return c.Result.Status, c.Result.Error
}

func identify(t testing.TB, d ata.Device, op uint8) func(word int) uint16 {
	t.Helper()
	p := make([]byte, 512)
	if c := run(d, ata.Registers{Opcode: op}, p, 100); c.Result.Status != good || c.Done != 512 {
		t.Fatalf("IDENTIFY: status %#x, %d bytes", c.Result.Status, c.Done)
	}
	var sum byte
	for _, b := range p {
		sum += b
	}
	if sum != 0 {
		t.Errorf("IDENTIFY: the bytes sum up to %#x", sum)
	}
	return func(word int) uint16 { return binary.LittleEndian.Uint16(p[2*word:]) }
}

func TestIdentify(t *testing.T) {
	for _, test := range []struct {
		name string
		c    ata.DiskConfig
		want map[int]uint16
	}{
		{"parallel", ata.DiskConfig{}, map[int]uint16{0: 0x40, 1: 130, 3: 16, 6: 63, 47: 0x8010, 60: 0, 61: 2, 75: 0, 76: 0, 82: 0x69, 83: 0x7400, 85: 0x69, 93: 0x6001, 100: 0, 101: 2, 105: 8, 106: 0x4000, 169: 1}},
		{"SATA", ata.DiskConfig{SATA: true}, map[int]uint16{75: 31, 76: 0x10e, 93: 0}},
		{"write-through", ata.DiskConfig{WriteThrough: true}, map[int]uint16{82: 0x49, 85: 0x49}},
		{"read-only", ata.DiskConfig{ReadOnly: true}, map[int]uint16{82: 0x49, 85: 0x49, 105: 0, 169: 0}},
		{"4 KiB sectors", ata.DiskConfig{Image: atatest.NewImageOf(size, disk.Info{SectorSize: 4096})}, map[int]uint16{60: 0x4000, 61: 0, 106: 0x5000, 117: 2048}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := test.c
			if c.Image == nil {
				c.Image = atatest.NewImage(size)
			}
			c.Model, c.Serial, c.Firmware = "A disk", "12345", "1.0"
			word := identify(t, newDisk(t, c), 0xec)
			for w, want := range test.want {
				if got := word(w); got != want {
					t.Errorf("word %d is %#x, want %#x", w, got, want)
				}
			}
			if word(27) != 'A'<<8|' ' || word(28) != 'd'<<8|'i' || word(46) != ' '<<8|' ' || word(10) != '1'<<8|'2' || word(23) != '1'<<8|'.' {
				t.Error("the strings are wrong")
			}
		})
	}
}

// TestAddresses reads with each kind of address, up to the last sector and beyond.
func TestAddresses(t *testing.T) {
	image := atatest.NewImage(size)
	d := newDisk(t, ata.DiskConfig{Image: image, SATA: true})
	for _, test := range []struct {
		name     string
		op       uint8
		features uint16
		count    uint16
		address  uint64
		device   uint8
		at, n    int // sectors
		err      uint8
	}{
		{name: "first, CHS", op: 0x20, count: 1, address: 1, n: 1},
		{name: "CHS", op: 0x20, count: 2, address: 5 | 7<<8, device: 3, at: (7*16+3)*63 + 4, n: 2},
		{name: "CHS, sector 0", op: 0x20, count: 1, err: 0x10},
		{name: "CHS, sector 64", op: 0x20, count: 1, address: 64, err: 0x10},
		{name: "CHS, past the end", op: 0x20, count: 1, address: 1 | 131<<8, err: 0x10},
		{name: "LBA28", op: 0xc8, count: 3, address: 1000, device: lba, at: 1000, n: 3},
		{name: "LBA28 ignores what registers held before", op: 0xc8, count: 0x5503, address: 1000 | 0xaabbcc<<24, device: lba, at: 1000, n: 3},
		{name: "LBA28, 256 sectors", op: 0xc8, address: 77, device: lba, at: 77, n: 256},
		{name: "LBA28, upper bits", op: 0x20, count: 1, device: lba | 1, err: 0x10},
		{name: "LBA48", op: 0x25, count: 300, address: 0x100, device: lba, at: 0x100, n: 300},
		{name: "LBA48, 65536 sectors", op: 0x25, address: 3, device: lba, at: 3, n: 65536},
		{name: "LBA48, the last", op: 0x24, count: 1, address: sectors - 1, device: lba, at: sectors - 1, n: 1},
		{name: "LBA48, one more", op: 0x24, count: 2, address: sectors - 1, device: lba, err: 0x10},
		{name: "LBA48, far", op: 0x24, count: 2, address: 1<<48 - 1, device: lba, err: 0x10},
		{name: "queued", op: 0x60, features: 9, count: 31 << 3, address: 100, device: lba, at: 100, n: 9},
		{name: "queued, 65536 sectors", op: 0x60, address: 100, device: lba, at: 100, n: 65536},
		{name: "queued, past the end", op: 0x60, features: 2, address: sectors - 1, device: lba, err: 0x10},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := make([]byte, test.n*512)
			c := run(d, ata.Registers{Opcode: test.op, Features: test.features, Count: test.count, LBA: test.address, Device: test.device}, p, 10000)
			if c.Result.Error != test.err || (c.Result.Status != good) != (test.err != 0) {
				t.Fatalf("status %#x, error %#x", c.Result.Status, c.Result.Error)
			}
			if test.err == 0 && (c.Done != len(p) || !bytes.Equal(p, image.Content(test.at*512, len(p)))) {
				t.Error("wrong data")
			}
			if test.name == "queued" && c.Tag != 31 {
				t.Errorf("tag %d", c.Tag)
			}
		})
	}
	if s, e := do(d, 0x91, 0, 10, 0); s != good { // 1 head, 10 sectors
		t.Fatalf("INITIALIZE DEVICE PARAMETERS: %#x, %#x", s, e)
	}
	p := make([]byte, 512)
	if c := run(d, ata.Registers{Opcode: 0x20, Count: 1, LBA: 2 | 3<<8}, p, 512); c.Result.Status != good || !bytes.Equal(p, image.Content(31*512, 512)) {
		t.Error("the new geometry does not hold")
	}
}

// TestDurability: a write is durable when it says so, or when the cache is off, or after FLUSH CACHE.
func TestDurability(t *testing.T) {
	data := make([]byte, 1024)
	for _, test := range []struct {
		name    string
		through bool
		off     bool
		r       ata.Registers
		durable bool
	}{
		{name: "cached", r: ata.Registers{Opcode: 0x35, Count: 2}},
		{name: "write-through", through: true, r: ata.Registers{Opcode: 0x35, Count: 2}, durable: true},
		{name: "cache off", off: true, r: ata.Registers{Opcode: 0x35, Count: 2}, durable: true},
		{name: "FUA", r: ata.Registers{Opcode: 0x3d, Count: 2}, durable: true},
		{name: "queued", r: ata.Registers{Opcode: 0x61, Features: 2}},
		{name: "queued, FUA", r: ata.Registers{Opcode: 0x61, Features: 2, Device: 0x80}, durable: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			image := atatest.NewImage(size)
			d := newDisk(t, ata.DiskConfig{Image: image, WriteThrough: test.through, SATA: true})
			if test.off {
				if s, _ := do(d, 0xef, 0x82, 0, 0); s != good {
					t.Fatal("the cache cannot be switched off")
				}
			}
			test.r.Device |= lba
			if c := run(d, test.r, data, 512); c.Result.Status != good {
				t.Fatalf("status %#x", c.Result.Status)
			}
			if got := image.Durable.Load() == image.Writes.Load(); got != test.durable {
				t.Errorf("durable: %v", got)
			}
			for _, op := range []uint8{0xe7, 0xea} {
				if s, _ := do(d, op, 0, 0, 0); s != good || image.Durable.Load() != image.Writes.Load() {
					t.Errorf("FLUSH CACHE %#x: status %#x", op, s)
				}
			}
		})
	}
}

func TestMediumErrors(t *testing.T) {
	image := atatest.NewImage(size)
	image.FailAt.Store(105*512 + 17)
	d := newDisk(t, ata.DiskConfig{Image: image, SATA: true})
	for _, op := range []uint8{0x25, 0x42} {
		c := run(d, ata.Registers{Opcode: op, Count: 10, LBA: 100, Device: lba}, make([]byte, 5120), 2048)
		if c.Result.Status != good|1 || c.Result.Error != 0x40 || c.Result.LBA != 105 {
			t.Errorf("%#x: status %#x, error %#x at %d", op, c.Result.Status, c.Result.Error, c.Result.LBA)
		}
	}
	c := run(d, ata.Registers{Opcode: 0x35, Count: 10, LBA: 100, Device: lba}, make([]byte, 5120), 5120)
	if c.Result.Status != good|0x21 || c.Result.Error != 4 {
		t.Errorf("write: status %#x, error %#x", c.Result.Status, c.Result.Error)
	}
	image.FailFlush.Store(true)
	if s, e := do(d, 0xea, 0, 0, 0); s != good|0x21 || e != 4 {
		t.Errorf("flush: status %#x, error %#x", s, e)
	}
	if s, _ := do(d, 0xe0, 0, 0, 0); s != good|0x21 {
		t.Errorf("STANDBY IMMEDIATE without a flush: status %#x", s)
	}
	log := make([]byte, 512)
	run(d, ata.Registers{Opcode: 0x60, Features: 10, Count: 6 << 3, LBA: 100, Device: lba}, make([]byte, 5120), 5120)
	run(d, ata.Registers{Opcode: 0x60, Features: 10, Count: 7 << 3, LBA: 101, Device: lba}, make([]byte, 5120), 5120)
	for i, want := range [][]byte{{6, 0, good | 1, 0x40, 105}, {0x80, 0, 0, 0, 0}} { // the first counts, until it is read
		if c := run(d, ata.Registers{Opcode: 0x2f, Count: 1, LBA: 0x10}, log, 512); c.Result.Status != good || !bytes.Equal(log[:5], want) {
			t.Errorf("log %d: status %#x, % x", i, c.Result.Status, log[:8])
		}
	}
}

func TestTrim(t *testing.T) {
	image := atatest.NewImage(size)
	d := newDisk(t, ata.DiskConfig{Image: image})
	data := make([]byte, 1024)
	le := binary.LittleEndian
	le.PutUint64(data[0:], 100|3<<48)
	le.PutUint64(data[1016:], sectors-1|1<<48)
	for _, part := range []int{1024, 100} {
		image.Discards.Store(0)
		if c := run(d, ata.Registers{Opcode: 6, Features: 1, Count: 2}, data, part); c.Result.Status != good || image.Discards.Load() != 2 {
			t.Errorf("status %#x, %d ranges", c.Result.Status, image.Discards.Load())
		}
	}
	if !bytes.Equal(image.Content(100*512, 3*512), bytes.Repeat([]byte{imagetest.Discarded}, 3*512)) || image.Content(103*512, 512)[1] == 0 {
		t.Error("the wrong range")
	}
	le.PutUint64(data[0:], sectors-1|2<<48)
	if c := run(d, ata.Registers{Opcode: 6, Features: 1, Count: 2}, data, 1024); c.Result.Error != 0x10 {
		t.Errorf("a range past the end: error %#x", c.Result.Error)
	}
}

// TestRefused are commands that end in an error at once, and change nothing.
func TestRefused(t *testing.T) {
	for _, test := range []struct {
		name     string
		op       uint8
		features uint16
		count    uint16
		address  uint64
		readOnly bool
	}{
		{name: "NOP", op: 0x00},
		{name: "SECURITY SET PASSWORD", op: 0xf1},
		{name: "SECURITY UNLOCK", op: 0xf2},
		{name: "SECURITY ERASE UNIT", op: 0xf4},
		{name: "SECURITY FREEZE LOCK", op: 0xf5},
		{name: "DEVICE CONFIGURATION", op: 0xb1},
		{name: "SET MAX ADDRESS", op: 0xf9},
		{name: "DOWNLOAD MICROCODE", op: 0x92},
		{name: "PACKET", op: 0xa0},
		{name: "DEVICE RESET", op: 0x08},
		{name: "IDENTIFY PACKET DEVICE", op: 0xa1},
		{name: "queued, parallel", op: 0x60, features: 1},
		{name: "READ MULTIPLE without SET MULTIPLE", op: 0xc4, count: 1},
		{name: "SET MULTIPLE of 3", op: 0xc6, count: 3},
		{name: "SET MULTIPLE of 32", op: 0xc6, count: 32},
		{name: "trim of nothing", op: 0x06, features: 1},
		{name: "trim of too much", op: 0x06, features: 1, count: 9},
		{name: "another data set management", op: 0x06, count: 1},
		{name: "trim, read-only", op: 0x06, features: 1, count: 1, readOnly: true},
		{name: "write, read-only", op: 0x35, count: 1, readOnly: true},
		{name: "cache on, read-only", op: 0xef, features: 2, readOnly: true},
		{name: "SET FEATURES 55h's neighbour", op: 0xef, features: 0x56},
		{name: "Ultra DMA mode 7", op: 0xef, features: 3, count: 0x47},
		{name: "SMART without its key", op: 0xb0, features: 0xd0},
		{name: "SMART, unknown", op: 0xb0, features: 0xdf, address: 0xc24f00},
		{name: "SMART, unknown log", op: 0xb0, features: 0xd5, count: 1, address: 0xc24f99},
		{name: "unknown log", op: 0x2f, count: 1, address: 0x30},
		{name: "second page of a log", op: 0x2f, count: 1, address: 0x100},
		{name: "INITIALIZE DEVICE PARAMETERS of nothing", op: 0x91},
	} {
		t.Run(test.name, func(t *testing.T) {
			image := atatest.NewImage(1 << 20)
			d := newDisk(t, ata.DiskConfig{Image: image, ReadOnly: test.readOnly})
			var before, after state.Writer
			d.Save(&before)
			if s, e := do(d, test.op, test.features, test.count, test.address); s != good|1 || e != 4 {
				t.Errorf("status %#x, error %#x", s, e)
			}
			if d.Save(&after); !bytes.Equal(before.Data(), after.Data()) || image.Writes.Load() != 0 {
				t.Error("it had an effect")
			}
		})
	}
}

func TestFeatures(t *testing.T) {
	d := newDisk(t, ata.DiskConfig{Image: atatest.NewImage(size)})
	expect := func(what string, word int, want uint16) {
		t.Helper()
		if got := identify(t, d, 0xec)(word); got != want {
			t.Errorf("%s: word %d is %#x, want %#x", what, word, got, want)
		}
	}
	for _, step := range []struct {
		name     string
		op       uint8
		features uint16
		count    uint16
		address  uint64
		word     int
		want     uint16
	}{
		{"cache off", 0xef, 0x82, 0, 0, 85, 0x49},
		{"cache on", 0xef, 0x02, 0, 0, 85, 0x69},
		{"look-ahead off", 0xef, 0x55, 0, 0, 85, 0x29},
		{"look-ahead on", 0xef, 0xaa, 0, 0, 85, 0x69},
		{"multiword DMA 2", 0xef, 3, 0x22, 0, 63, 0x407},
		{"Ultra DMA 2", 0xef, 3, 0x42, 0, 88, 0x43f},
		{"PIO 4", 0xef, 3, 0x0c, 0, 88, 0x43f},
		{"SMART off", 0xb0, 0xd9, 0, 0xc24f00, 85, 0x68},
		{"SMART on", 0xb0, 0xd8, 0, 0xc24f00, 85, 0x69},
		{"multiple", 0xc6, 0, 8, 0, 59, 0x108},
	} {
		if s, e := do(d, step.op, step.features, step.count, step.address); s != good {
			t.Errorf("%s: status %#x, error %#x", step.name, s, e)
		}
		expect(step.name, step.word, step.want)
	}
	do(d, 0xef, 0x82, 0, 0)
	d.Reset(true)
	expect("cache after a reset by software", 85, 0x49)
	expect("multiple after a reset by software", 59, 0)
	d.Reset(false)
	expect("cache after a reset", 85, 0x69)
}

func TestPower(t *testing.T) {
	image := atatest.NewImage(size)
	d := newDisk(t, ata.DiskConfig{Image: image})
	power := func() uint16 { return run(d, ata.Registers{Opcode: 0xe5}, nil, 1).Result.Count }
	for _, step := range []struct {
		op    uint8
		count uint16
		want  uint16
	}{{0xe0, 0, 0}, {0xe1, 0, 0xff}, {0xe2, 10, 0xff}, {0xe2, 0, 0}, {0xe3, 0, 0xff}, {0xe6, 0, 0}} {
		if s, _ := do(d, step.op, 0, step.count, 0); s != good || power() != step.want {
			t.Errorf("%#x: status %#x, power mode %#x", step.op, s, power())
		}
	}
	if c := run(d, ata.Registers{Opcode: 0x20, Count: 1, Device: lba}, make([]byte, 512), 512); c.Result.Status != good || power() != 0xff {
		t.Error("a read did not wake the disk")
	}
	if image.Flushes.Load() == 0 {
		t.Error("standby did not flush")
	}
}

func TestSMART(t *testing.T) {
	d := newDisk(t, ata.DiskConfig{Image: atatest.NewImage(size)})
	p := make([]byte, 512)
	for name, r := range map[string]ata.Registers{
		"data":       {Features: 0xd0, LBA: 0xc24f00},
		"thresholds": {Features: 0xd1, LBA: 0xc24f00},
		"summary":    {Features: 0xd5, Count: 1, LBA: 0xc24f01},
		"self tests": {Features: 0xd5, Count: 1, LBA: 0xc24f06},
	} {
		r.Opcode = 0xb0
		var sum byte
		c := run(d, r, p, 512)
		for _, b := range p {
			sum += b
		}
		if c.Result.Status != good || sum != 0 || p[0] == 0 {
			t.Errorf("%s: status %#x, sum %#x, revision %d", name, c.Result.Status, sum, p[0])
		}
	}
	if c := run(d, ata.Registers{Opcode: 0xb0, Features: 0xda, LBA: 0xc24f00}, nil, 1); c.Result.Status != good || c.Result.LBA>>8 != 0xc24f {
		t.Errorf("RETURN STATUS: status %#x, %#x", c.Result.Status, c.Result.LBA)
	}
}

// TestGate says what commands cost.
func TestGate(t *testing.T) {
	reads, writes := &throttle.Gate{}, &throttle.Gate{}
	d := newDisk(t, ata.DiskConfig{Image: atatest.NewImage(size), Reads: reads, Writes: writes, SATA: true})
	for _, test := range []struct {
		r    ata.Registers
		gate *throttle.Gate
		cost int64
	}{
		{ata.Registers{Opcode: 0x25, Count: 4, Device: lba}, reads, 2048},
		{ata.Registers{Opcode: 0x61, Features: 4, Device: lba}, writes, 2048},
		{ata.Registers{Opcode: 0xea}, writes, 0},
		{ata.Registers{Opcode: 0x06, Features: 1, Count: 1}, writes, 0},
		{ata.Registers{Opcode: 0xec}, nil, 0},
		{ata.Registers{Opcode: 0x25, Count: 4, LBA: 1 << 40, Device: lba}, nil, 0},
	} {
		c := &ata.Command{}
		c.Start(test.r)
		d.Decode(c)
		if g, cost := d.Gate(c); g != test.gate || cost != test.cost {
			t.Errorf("%#x: %p, %d bytes", test.r.Opcode, g, cost)
		}
	}
}

// TestRestore spoils each byte of a state: it is refused, or the disk works in it.
func TestRestore(t *testing.T) {
	image := atatest.NewImage(1 << 20)
	d := newDisk(t, ata.DiskConfig{Image: image})
	var w state.Writer
	d.Save(&w)
	taken := 0
	for at := range w.Data() {
		for _, v := range []byte{1, 0x10, 0x80, 0xff} {
			data := bytes.Clone(w.Data())
			data[at] ^= v
			next := newDisk(t, ata.DiskConfig{Image: image})
			if next.Restore(state.NewReader(data)) != nil {
				continue
			}
			taken++
			var again state.Writer
			if next.Save(&again); !bytes.Equal(again.Data(), data) {
				t.Errorf("byte %d: the disk saves another state", at)
			}
			identify(t, next, 0xec)
			do(next, 0x40, 0, 1, 1)
		}
	}
	if taken == 0 || taken == 4*len(w.Data()) {
		t.Errorf("%d states were taken", taken)
	}
	for name, c := range map[string]ata.DiskConfig{
		"another size": {Image: atatest.NewImage(2 << 20)}, "no cache": {Image: image, WriteThrough: true},
	} {
		if newDisk(t, c).Restore(state.NewReader(w.Data())) == nil {
			t.Errorf("%s: the state was taken", name)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	image := atatest.NewImage(size)
	for name, c := range map[string]ata.DiskConfig{
		"model":    {Image: image, Model: strings.Repeat("x", 41)},
		"serial":   {Image: image, Serial: strings.Repeat("x", 21)},
		"firmware": {Image: image, Firmware: strings.Repeat("x", 9)},
		"sectors":  {Image: atatest.NewImageOf(size, disk.Info{SectorSize: 520})},
	} {
		if _, err := ata.NewDisk(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := ata.NewCDROM(ata.CDROMConfig{Model: strings.Repeat("x", 41)}); err == nil {
		t.Error("a CD-ROM drive with a long name was accepted")
	}
}
