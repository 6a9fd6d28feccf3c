package nvme_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/sharevm/vmm/devices/nvme"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/imagetest"
)

const imageSize = 1 << 20

// one is a controller of one namespace.
func one(image disk.Image) nvme.Config {
	return nvme.Config{Namespaces: []nvme.Namespace{{ID: 1, Image: image}}, Serial: "SERIAL", Model: "Model", UUID: [16]byte{1, 2, 3}}
}

// start returns a driver with one I/O queue pair of 64 entries.
func start(t testing.TB, c nvme.Config) (*driver, *pair) {
	t.Helper()
	d := newDriver(t, c, false)
	d.enable()
	return d, d.pair(1, 64, 64)
}

func transfer(opcode uint8, block uint64, blocks int, prp1, prp2 uint64) command {
	return cmd(opcode, 1, prp1, prp2, uint32(block), uint32(block>>32), uint32(blocks-1))
}

func TestRegisters(t *testing.T) {
	d := newDriver(t, one(newImage(imageSize)), false)
	if v := d.load(barBase+regCAP, 8); v != 0x30_3c0103ff {
		t.Errorf("CAP %#x", v)
	}
	if v := d.load(barBase+regVS, 4); v != 0x10400 {
		t.Errorf("VS %#x", v)
	}
	for width := 1; width <= 8; width++ { // byte by byte it is the same
		for off := range uint64(0x40) {
			want := make([]byte, width)
			for i := range want {
				want[i] = byte(d.load(barBase+off+uint64(i), 1))
			}
			got := make([]byte, width)
			d.mmio.Read(barBase+off, got)
			if !bytes.Equal(got, want) {
				t.Fatalf("%d bytes at %#x: %x, want %x", width, off, got, want)
			}
		}
	}
	d.store(barBase+regASQ, 8, 0x1234_5678_9abc_def0)
	d.store(barBase+regASQ+5, 1, 0xff)
	if v := d.load(barBase+regASQ, 8); v != 0x1234_ff78_9abc_d000 {
		t.Errorf("ASQ %#x", v)
	}
	d.setReg(regINTMS, 5)
	d.store(barBase+regINTMC, 1, 1)
	if v := d.reg(regINTMS); v != 4 {
		t.Errorf("INTMS %#x", v)
	}
}

func TestIdentify(t *testing.T) {
	large := imagetest.New(imageSize, disk.Info{SectorSize: 4096})
	protected := newImage(imageSize / 2)
	c := nvme.Config{Serial: "SERIAL", Model: "Model", UUID: [16]byte{1}, QueuePairs: 3, Namespaces: []nvme.Namespace{
		{ID: 1, Image: newImage(imageSize)}, {ID: 3, Image: large}, {ID: 4, Image: protected, ReadOnly: true},
	}}
	d := newDriver(t, c, false)
	d.enable()
	at := d.alloc(1)
	p := d.ram(at, page)
	ask := func(namespace, what uint32) uint16 {
		clear(p)
		return d.admin.do(cmd(identify, namespace, at, 0, what)).status
	}
	le := binary.LittleEndian
	if s := ask(0, 1); s != 0 || le.Uint32(p[516:]) != 4 || string(p[4:24]) != "SERIAL              " || p[77] != 7 || le.Uint16(p) != 0x15ad {
		t.Errorf("controller: status %#x, %x", s, p[:80])
	}
	for _, test := range []struct {
		id     uint32
		status uint16
		blocks uint64
		shift  uint8
		attr   uint8
	}{{1, 0, imageSize / 512, 9, 0}, {2, 0, 0, 0, 0}, {3, 0, imageSize / 4096, 12, 0}, {4, 0, imageSize / 1024, 9, 1}, {0, 0xb, 0, 0, 0}, {5, 0xb, 0, 0, 0}, {1<<32 - 1, 0, 0, 9, 0}} {
		if s := ask(test.id, 0); s != test.status || le.Uint64(p) != test.blocks || p[130] != test.shift || p[99] != test.attr {
			t.Errorf("namespace %d: status %#x, %d blocks, shift %d, attributes %d", test.id, s, le.Uint64(p), p[130], p[99])
		}
	}
	if s := ask(1, 2); s != 0 || le.Uint32(p) != 3 || le.Uint32(p[4:]) != 4 || le.Uint32(p[8:]) != 0 {
		t.Errorf("list: status %#x, %x", s, p[:16])
	}
	uuids := map[string]bool{}
	for _, id := range []uint32{1, 3, 4} {
		if s := ask(id, 3); s != 0 || p[0] != 3 || p[1] != 16 || p[20] != 0 {
			t.Errorf("descriptors of %d: status %#x, %x", id, s, p[:24])
		}
		uuids[string(p[4:20])] = true
	}
	if len(uuids) != 3 {
		t.Error("two namespaces have one name")
	}
	if n := d.admin.must(cmd(setFeatures, 0, 0, 0, 7, 0x00070007)); n != 0x00020002 {
		t.Errorf("number of queues %#x", n)
	}
}

// TestPRP moves data through memory of every shape that PRP entries can describe.
func TestPRP(t *testing.T) {
	image := newImage(imageSize)
	d, q := start(t, one(image))
	base := d.alloc(256)
	lists := d.alloc(4)
	for _, test := range []struct {
		name   string
		offset uint64 // into the first page
		blocks int
		list   uint64 // where it begins, in its page
		mixed  bool   // pages are not side by side
	}{
		{"one block", 0, 1, 0, false},
		{"end of a page", 3584, 1, 0, false},
		{"a page", 0, 8, 0, false},
		{"two pages by an offset", 512, 8, 0, false},
		{"two pages", 0, 16, 0, false},
		{"dword aligned", 4, 1, 0, false},
		{"a list", 0, 24, 0, false},
		{"a list of scattered pages", 1024, 100, 0, true},
		{"a list in the middle of a page", 0, 24, 2048, true},
		{"a list that goes on", 0, 1024, 4096 - 64, true},
		{"a list of one entry that goes on", 0, 512, 4096 - 8, true},
		{"all that is allowed", 512, 1024, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			length := test.blocks * 512
			var pages []uint64
			for n := 0; n < int(test.offset)+length; n += page {
				i := uint64(len(pages))
				if test.mixed {
					i = i ^ 1
				}
				pages = append(pages, base+i*page)
			}
			var guest [][]byte
			rest := length
			for i, p := range pages {
				off := uint64(0)
				if i == 0 {
					off = test.offset
				}
				n := min(rest, page-int(off))
				guest = append(guest, d.ram(p+off, n))
				rest -= n
			}
			prp2 := uint64(0)
			switch {
			case len(pages) == 2:
				prp2 = pages[1]
			case len(pages) > 2:
				prp2 = lists + test.list
				at, left := prp2, pages[1:]
				next := lists + page
				for len(left) > 0 {
					room := int(page-at%page) / 8
					if len(left) > room {
						for _, p := range left[:room-1] {
							binary.LittleEndian.PutUint64(d.ram(at, 8), p)
							at += 8
						}
						left = left[room-1:]
						binary.LittleEndian.PutUint64(d.ram(at, 8), next)
						at, next = next, next+page
						continue
					}
					for _, p := range left {
						binary.LittleEndian.PutUint64(d.ram(at, 8), p)
						at += 8
					}
					left = nil
				}
			}
			want := pattern(byte(test.blocks), length)
			rest = 0
			for _, p := range guest {
				rest += copy(p, want[rest:])
			}
			image.Fill(0, make([]byte, imageSize))
			q.must(transfer(write, 5, test.blocks, pages[0]+test.offset, prp2))
			if !bytes.Equal(image.Content(5*512, length), want) {
				t.Error("the image does not hold what was written")
			}
			if !bytes.Equal(image.Content(5*512+length, 512), make([]byte, 512)) {
				t.Error("more than the data was written")
			}
			for _, p := range guest {
				clear(p)
			}
			q.must(transfer(read, 5, test.blocks, pages[0]+test.offset, prp2))
			if !bytes.Equal(bytes.Join(guest, nil), want) {
				t.Error("the guest did not get the image's data")
			}
		})
	}
}

// TestRefused sends commands that cannot be obeyed, and looks at their status.
func TestRefused(t *testing.T) {
	image := newImage(imageSize)
	c := one(image)
	c.QueuePairs = 2
	c.Namespaces = append(c.Namespaces, nvme.Namespace{ID: 2, Image: newImage(imageSize), ReadOnly: true})
	d, q := start(t, c)
	buf := d.alloc(2)
	list := d.alloc(1)
	binary.LittleEndian.PutUint64(d.ram(list, 8), buf+8)
	protected := transfer(write, 0, 1, buf, 0)
	protected[1] = 2
	fused := transfer(read, 0, 1, buf, 0)
	fused[0] |= 1 << 8
	sgl := transfer(read, 0, 1, buf, 0)
	sgl[0] |= 1 << 14
	ranges := d.alloc(1)
	binary.LittleEndian.PutUint32(d.ram(ranges+4, 4), imageSize/512+1)
	for _, test := range []struct {
		name string
		on   *pair
		cmd  command
		want uint16
	}{
		{"unknown opcode", q, cmd(0x7f, 1, 0, 0), 0x01},
		{"compare", q, transfer(5, 0, 1, buf, 0), 0x01},
		{"no namespace", q, cmd(read, 3, buf, 0), 0x0b},
		{"namespace 0", q, cmd(read, 0, buf, 0), 0x0b},
		{"read of all namespaces", q, cmd(read, 1<<32-1, buf, 0), 0x0b},
		{"beyond the end", q, transfer(read, imageSize/512, 1, buf, 0), 0x80},
		{"over the end", q, transfer(read, imageSize/512-1, 2, buf, 0), 0x80},
		{"overflow", q, transfer(write, 1<<64-1, 2, buf, 0), 0x80},
		{"zeroes over the end", q, transfer(writeZeroes, imageSize/512-1, 2, 0, 0), 0x80},
		{"ranges over the end", q, cmd(dataset, 1, ranges, 0, 0, 4), 0x80},
		{"longer than allowed", q, transfer(read, 0, 1025, buf, list), 0x02},
		{"fused", q, fused, 0x02},
		{"scatter-gather list", q, sgl, 0x02},
		{"unaligned PRP 1", q, transfer(read, 0, 1, buf+2, 0), 0x13},
		{"unaligned PRP 2", q, transfer(read, 0, 16, buf, buf+page+8), 0x13},
		{"unaligned list", q, transfer(read, 0, 24, buf, list+4), 0x13},
		{"unaligned entry", q, transfer(read, 0, 24, buf, list), 0x13},
		{"outside RAM", q, transfer(read, 0, 1, ramSize, 0), 0x04},
		{"over the end of RAM", q, transfer(read, 0, 16, ramSize-page, ramSize), 0x04},
		{"list outside RAM", q, transfer(read, 0, 24, buf, 1<<63), 0x04},
		{"address overflow", q, transfer(read, 0, 1, 1<<64-512, 0), 0x04},
		{"write protected", q, protected, 0x20},
		{"unknown admin command", d.admin, cmd(0xff, 0, 0, 0), 0x01},
		{"identify what", d.admin, cmd(identify, 1, buf, 0, 0x77), 0x02},
		{"identify to nowhere", d.admin, cmd(identify, 1, ramSize, 0, 1), 0x04},
		{"log page", d.admin, cmd(getLog, 0, buf, 0, 0x7f<<16|0x7f), 0x109},
		{"log page offset", d.admin, cmd(getLog, 0, buf, 0, 0x7f<<16|2, 0, 4096), 0x02},
		{"log page length", d.admin, cmd(getLog, 0, buf, 0, 0xffff<<16|2, 0xffff), 0x02},
		{"feature", d.admin, cmd(getFeatures, 0, 0, 0, 0x7e), 0x02},
		{"set feature", d.admin, cmd(setFeatures, 0, 0, 0, 0x7e), 0x02},
		{"saved feature", d.admin, cmd(setFeatures, 0, 0, 0, 1<<31|6, 1), 0x10d},
		{"queues again", d.admin, cmd(setFeatures, 0, 0, 0, 7, 0), 0x0c},
		{"power state", d.admin, cmd(setFeatures, 0, 0, 0, 2, 1), 0x02},
		{"completion queue 0", d.admin, cmd(createCQ, 0, buf, 0, 15<<16, 1), 0x101},
		{"completion queue that exists", d.admin, cmd(createCQ, 0, buf, 0, 15<<16|1, 1), 0x101},
		{"completion queue beyond", d.admin, cmd(createCQ, 0, buf, 0, 15<<16|3, 1), 0x101},
		{"completion queue of one", d.admin, cmd(createCQ, 0, buf, 0, 0<<16|2, 1), 0x102},
		{"completion queue too long", d.admin, cmd(createCQ, 0, buf, 0, 1024<<16|2, 1), 0x102},
		{"completion queue in pieces", d.admin, cmd(createCQ, 0, buf, 0, 15<<16|2, 0), 0x02},
		{"completion queue unaligned", d.admin, cmd(createCQ, 0, buf+8, 0, 15<<16|2, 1), 0x13},
		{"completion queue outside RAM", d.admin, cmd(createCQ, 0, ramSize, 0, 15<<16|2, 1), 0x02},
		{"vector", d.admin, cmd(createCQ, 0, buf, 0, 15<<16|2, 3<<16|3), 0x108},
		{"submission queue without completions", d.admin, cmd(createSQ, 0, buf, 0, 15<<16|2, 2<<16|1), 0x100},
		{"submission queue on admin's", d.admin, cmd(createSQ, 0, buf, 0, 15<<16|2, 1), 0x100},
		{"submission queue that exists", d.admin, cmd(createSQ, 0, buf, 0, 15<<16|1, 1<<16|1), 0x101},
		{"submission queue outside RAM", d.admin, cmd(createSQ, 0, ramSize, 0, 15<<16|2, 1<<16|1), 0x02},
		{"completion queue in use", d.admin, cmd(deleteCQ, 0, 0, 0, 1), 0x10c},
		{"delete no completion queue", d.admin, cmd(deleteCQ, 0, 0, 0, 2), 0x101},
		{"delete no submission queue", d.admin, cmd(deleteSQ, 0, 0, 0, 2), 0x101},
		{"delete the admin queue", d.admin, cmd(deleteSQ, 0, 0, 0, 0), 0x101},
		{"doorbell buffers unaligned", d.admin, cmd(doorbellBuffer, 0, buf+8, buf), 0x02},
		{"doorbell buffers outside RAM", d.admin, cmd(doorbellBuffer, 0, buf, ramSize), 0x02},
	} {
		if a := test.on.do(test.cmd); a.status != test.want {
			t.Errorf("%s: status %#x, want %#x", test.name, a.status, test.want)
		}
	}
	q.must(transfer(read, 0, 1, buf, 0))
	if s := d.reg(regCSTS); s != ready {
		t.Errorf("CSTS %#x", s)
	}
}

func TestDurability(t *testing.T) {
	for _, test := range []struct {
		name    string
		through bool
		cache   uint32
		fua     uint32
		want    int32
	}{{"cached", false, 1, 0, 0}, {"forced", false, 1, 1 << 30, 2}, {"cache off", false, 0, 0, 2}, {"write through", true, 1, 0, 2}} {
		image := newImage(imageSize)
		c := one(image)
		c.Namespaces[0].WriteThrough = test.through
		d, q := start(t, c)
		a := d.admin.do(cmd(setFeatures, 0, 0, 0, 6, test.cache))
		if (a.status == 0) == test.through {
			t.Errorf("%s: setting the cache: status %#x", test.name, a.status)
		}
		for _, op := range []uint8{write, writeZeroes} {
			w := transfer(op, 0, 1, d.alloc(1), 0)
			w[12] |= test.fua
			q.must(w)
		}
		if n := image.Flushes.Load(); n != test.want {
			t.Errorf("%s: %d flushes, want %d", test.name, n, test.want)
		}
		q.must(cmd(flush, 1, 0, 0))
		q.must(cmd(flush, 1<<32-1, 0, 0))
		if n := image.Flushes.Load(); n != test.want+2 {
			t.Errorf("%s: %d flushes after two flushes, want %d", test.name, n, test.want+2)
		}
	}
}

func TestZeroesAndDeallocation(t *testing.T) {
	image := newImage(imageSize)
	image.Fill(0, pattern(9, imageSize))
	d, q := start(t, one(image))
	z := transfer(writeZeroes, 3, 5, 0, 0)
	q.must(z)
	z[12] |= 1 << 25
	q.must(z)
	if !bytes.Equal(image.Content(3*512, 5*512), make([]byte, 5*512)) || image.Zeroes.Load() != 2 || image.Unmaps.Load() != 1 {
		t.Errorf("zeroes: %d calls, %d unmap", image.Zeroes.Load(), image.Unmaps.Load())
	}
	at := d.alloc(1)
	for i, r := range []struct{ first, n uint32 }{{20, 2}, {30, 0}, {40, 1}} {
		p := d.ram(at+uint64(i)*16, 16)
		binary.LittleEndian.PutUint32(p[4:], r.n)
		binary.LittleEndian.PutUint64(p[8:], uint64(r.first))
	}
	q.must(cmd(dataset, 1, at, 0, 2, 0)) // a hint of no interest
	if image.Discards.Load() != 0 {
		t.Error("discarded without being asked to")
	}
	q.must(cmd(dataset, 1, at, 0, 2, 4))
	if image.Discards.Load() != 2 || image.Content(20*512, 1)[0] != 0xdd || image.Content(22*512, 1)[0] == 0xdd || image.Content(40*512, 1)[0] != 0xdd {
		t.Errorf("%d discards", image.Discards.Load())
	}
}

// TestImageFails shows the driver a medium error and the error log's entry of it.
func TestImageFails(t *testing.T) {
	image := newImage(imageSize)
	d, q := start(t, one(image))
	buf := d.alloc(1)
	image.FailAt.Store(imagetest.Everywhere)
	for op, want := range map[uint8]uint16{read: 0x281, write: 0x280, flush: 0x280, writeZeroes: 0x280} {
		if a := q.do(transfer(op, 7, 1, buf, 0)); a.status != want {
			t.Errorf("opcode %d: status %#x, want %#x", op, a.status, want)
		}
	}
	image.FailAt.Store(imagetest.Nowhere)
	q.must(transfer(read, 7, 1, buf, 0))
	d.admin.must(cmd(getLog, 0, buf, 0, 63<<16|1, 0))
	p := d.ram(buf, 256)
	if n := binary.LittleEndian.Uint64(p); n != 4 {
		t.Errorf("the newest entry is %d", n)
	}
	d.admin.must(cmd(getLog, 0, buf, 0, 127<<16|2, 0))
	p = d.ram(buf, 512)
	if errors, reads := binary.LittleEndian.Uint64(p[160:]), binary.LittleEndian.Uint64(p[64:]); errors != 4 || reads != 1 {
		t.Errorf("%d errors, %d reads", errors, reads)
	}
}

// TestPanic has an image panic: the controller reports a fatal status, and works after a reset.
func TestPanic(t *testing.T) {
	image := newImage(imageSize)
	d, q := start(t, one(image))
	image.PanicAt.Store(imagetest.Everywhere)
	q.submit(transfer(read, 0, 1, d.alloc(1), 0))
	d.await(fatal, fatal)
	image.PanicAt.Store(imagetest.Nowhere)
	d.enable()
	d.pair(1, 8, 8).must(transfer(read, 0, 1, d.alloc(1), 0))
}

// TestReset resets the controller in each way while a read is stuck in the image.
func TestReset(t *testing.T) {
	for name, reset := range map[string]func(d *driver){
		"CC.EN":    func(d *driver) { d.setReg(regCC, 0) },
		"NSSR":     func(d *driver) { d.setReg(regNSSR, 0x4e564d65) },
		"function": func(d *driver) { functionReset(d) },
	} {
		t.Run(name, func(t *testing.T) {
			image := newImage(imageSize)
			d, q := start(t, one(image))
			buf := d.alloc(1)
			hold := image.Hold(imagetest.Everywhere)
			for range 20 {
				q.submit(transfer(read, 0, 1, buf, 0))
			}
			<-hold.Reached
			reset(d)
			if s := d.reg(regCSTS); s&ready == 0 {
				t.Error("not ready any more while a read is under way")
			}
			image.Release()
			close(hold.Open)
			d.await(ready, 0)
			if _, ok := q.poll(); ok {
				t.Error("a command of before the reset has completed")
			}
			if s := d.reg(regCSTS); (s&0x10 != 0) != (name == "NSSR") {
				t.Errorf("CSTS %#x", s)
			}
			d.enable()
			d.pair(1, 8, 8).must(transfer(read, 0, 1, buf, 0))
		})
	}
}

func functionReset(d *driver) {
	const config = ecamBase + 1<<15
	for at := d.load(config+0x34, 1); at != 0; at = d.load(config+at+1, 1) {
		if d.load(config+at, 1) == 0x10 {
			d.store(config+at+9, 1, 0x80)
		}
	}
}

// TestEnableDuringReset enables a controller before its reset is over: it becomes ready when it is.
func TestEnableDuringReset(t *testing.T) {
	image := newImage(imageSize)
	d, q := start(t, one(image))
	hold := image.Hold(imagetest.Everywhere)
	q.submit(transfer(read, 0, 1, d.alloc(1), 0))
	<-hold.Reached
	d.setReg(regCC, 0)
	d.setReg(regCC, enableBits)
	if s := d.reg(regCSTS); s&ready != 0 {
		t.Error("ready before the reset is over")
	}
	image.Release()
	close(hold.Open)
	d.await(ready|fatal, ready)
	clear(d.ram(d.admin.cq, page))
	d.admin = &pair{d: d, sq: d.admin.sq, cq: d.admin.cq, size: 32, cqSize: 32, phase: 1}
	d.pair(1, 8, 8).must(transfer(read, 0, 1, d.alloc(1), 0))
}

func TestFatalStatus(t *testing.T) {
	for name, set := range map[string]func(d *driver){
		"submission queue outside RAM": func(d *driver) { d.store(barBase+regASQ, 8, 1<<40) },
		"completion queue outside RAM": func(d *driver) { d.store(barBase+regACQ, 8, 1<<40) },
		"queue of one entry":           func(d *driver) { d.setReg(regAQA, 31) },
		"queue past the end of RAM":    func(d *driver) { d.store(barBase+regASQ, 8, ramSize-page); d.setReg(regAQA, 31<<16|0xfff) },
		"page size":                    func(d *driver) { d.setReg(regCC, enableBits|1<<7) },
	} {
		d := newDriver(t, one(newImage(imageSize)), false)
		d.enable()
		d.setReg(regCC, 0)
		d.await(ready, 0)
		set(d)
		d.setReg(regCC, d.reg(regCC)|enableBits)
		if s := d.reg(regCSTS); s != fatal {
			t.Errorf("%s: CSTS %#x", name, s)
		}
		d.enable()
		d.admin.must(cmd(getFeatures, 0, 0, 0, 7))
	}
}

func TestShutdown(t *testing.T) {
	image := newImage(imageSize)
	d, q := start(t, one(image))
	hold := image.Hold(imagetest.Everywhere)
	d.setReg(regCC, enableBits|1<<14)
	<-hold.Reached
	if s := d.reg(regCSTS) >> 2 & 3; s != 1 {
		t.Errorf("shutdown status %d while a flush is under way", s)
	}
	image.Release()
	close(hold.Open)
	d.await(0xc, 8)
	if image.Flushes.Load() != 1 {
		t.Errorf("%d flushes", image.Flushes.Load())
	}
	q.must(cmd(flush, 1, 0, 0))
	d.enable()
	if s := d.reg(regCSTS); s != ready {
		t.Errorf("CSTS after a reset %#x", s)
	}
}

// TestFullCompletionQueue has more commands than completions have room: none is lost, and none overtakes the driver.
func TestFullCompletionQueue(t *testing.T) {
	d := newDriver(t, one(newImage(imageSize)), false)
	d.enable()
	q := d.pair(1, 64, 4)
	buf := d.alloc(1)
	want := map[uint16]bool{}
	for range 40 {
		want[q.offer(transfer(read, 0, 1, buf, 0))] = true
	}
	q.ring()
	for len(want) > 0 {
		a := q.next()
		if !want[a.id] || a.status != 0 {
			t.Fatalf("command %d: expected %v, status %#x", a.id, want[a.id], a.status)
		}
		delete(want, a.id)
	}
	if _, ok := q.poll(); ok {
		t.Error("a completion too many")
	}
}

// TestSharedCompletionQueue has two submission queues complete to one.
func TestSharedCompletionQueue(t *testing.T) {
	c := one(newImage(imageSize))
	c.QueuePairs = 2
	d, q := start(t, c)
	second := d.alloc(1)
	d.admin.must(cmd(createSQ, 0, second, 0, 15<<16|2, 1<<16|1))
	buf := d.alloc(1)
	q.offer(transfer(read, 0, 1, buf, 0))
	copy(d.ram(second, 64), d.ram(q.sq, 64))
	d.store(barBase+0x1010, 4, 1)
	entry := d.ram(q.cq, 16)
	for entryID := uint32(0); entryID != 2; entryID = binary.LittleEndian.Uint32(entry[8:]) >> 16 {
		if d.interrupts != nil {
			<-d.interrupts.Channel(1)
		}
	}
	d.admin.must(cmd(deleteSQ, 0, 0, 0, 2))
	d.admin.must(cmd(deleteSQ, 0, 0, 0, 1))
	d.admin.must(cmd(deleteCQ, 0, 0, 0, 1))
}

// TestPin follows the interrupt pin: high while there are entries that the driver has not taken, unless masked.
func TestPin(t *testing.T) {
	d := newDriver(t, one(newImage(imageSize)), true)
	d.enable()
	q := d.pair(1, 8, 8)
	if d.pin.Load() {
		t.Error("the pin is high though all was taken")
	}
	q.submit(cmd(flush, 1, 0, 0))
	for _, ok := q.poll(); !ok; _, ok = q.poll() {
	}
	d.dev.Pause() // the interrupt follows the entry
	if !d.pin.Load() {
		t.Error("the pin is low")
	}
	d.dev.Resume()
	d.setReg(regINTMS, 1)
	if d.pin.Load() {
		t.Error("the pin is high though masked")
	}
	d.setReg(regINTMC, 1)
	if !d.pin.Load() {
		t.Error("the pin is low after it was unmasked")
	}
	q.consumed()
	if d.pin.Load() {
		t.Error("the pin is high though all was taken")
	}
}

// TestEvents rings doorbells that cannot be rung, and hears of it.
func TestEvents(t *testing.T) {
	d, _ := start(t, one(newImage(imageSize)))
	buf := d.alloc(1)
	readLog := cmd(getLog, 0, buf, 0, 15<<16|1)
	for name, ring := range map[string]func() uint32{
		"no such queue":    func() uint32 { d.store(barBase+0x1000+8*2, 4, 0); return 0x10000 },
		"far off":          func() uint32 { d.store(barBase+0x1ffc, 4, 0); return 0x10000 },
		"tail beyond":      func() uint32 { d.store(barBase+0x1008, 4, 64); return 0x10100 },
		"head beyond":      func() uint32 { d.store(barBase+0x100c, 4, 1<<31); return 0x10100 },
		"head before tail": func() uint32 { d.store(barBase+0x100c, 4, 1); return 0x10100 },
	} {
		id := d.admin.submit(cmd(asyncEvent, 0, 0, 0))
		want := ring()
		if a := d.admin.next(); a.id != id || a.result != want || a.status != 0 {
			t.Errorf("%s: %+v, want %#x", name, a, want)
		}
		ring() // not told again until the log was read
		if a := d.admin.do(readLog); a.status != 0 {
			t.Errorf("%s: log page: %+v", name, a)
		}
	}
	var ids []uint16
	for range 4 {
		ids = append(ids, d.admin.submit(cmd(asyncEvent, 0, 0, 0)))
	}
	if a := d.admin.do(cmd(asyncEvent, 0, 0, 0)); a.status != 0x105 {
		t.Errorf("one too many: status %#x", a.status)
	}
	d.admin.submit(cmd(abort, 0, 0, 0, uint32(ids[1])<<16))
	if a := d.admin.next(); a.id != ids[1] || a.status != 7 {
		t.Errorf("aborted: %+v", a)
	}
	if a := d.admin.next(); a.result != 0 {
		t.Errorf("abort: %+v", a)
	}
	if a := d.admin.do(cmd(abort, 0, 0, 0, 77<<16|1)); a.result != 1 {
		t.Errorf("abort of nothing: %+v", a)
	}
}

// TestDoorbellBuffers leaves doorbells in memory: the kernel answers the register, which is rung only where the controller asks for it.
func TestDoorbellBuffers(t *testing.T) {
	c := one(newImage(imageSize))
	d := newDriver(t, c, false)
	d.enable()
	values, events := d.alloc(1), d.alloc(1)
	d.admin.must(cmd(doorbellBuffer, 0, values, events))
	if len(d.kernel.bells) != 1 || d.kernel.bells[barBase+0x1008] == nil {
		t.Fatalf("the kernel answers %v", d.kernel.bells)
	}
	q := d.pair(1, 8, 8)
	buf := d.alloc(1)
	v, e := d.ram(values, page), d.ram(events, page)
	rings := 0
	for n := range 100 {
		q.offer(transfer(read, uint64(n), 1, buf, 0))
		old := binary.LittleEndian.Uint32(v[8:])
		binary.LittleEndian.PutUint32(v[8:], uint32(q.tail))
		if at := binary.LittleEndian.Uint32(e[8:]); uint16(q.tail)-uint16(at)-1 < uint16(q.tail)-uint16(old) {
			rings++
			d.store(barBase+0x1008, 4, 0xdead) // the value does not matter
		}
		for {
			if a, ok := q.poll(); ok {
				if a.status != 0 {
					t.Fatalf("status %#x", a.status)
				}
				break
			}
		}
		binary.LittleEndian.PutUint32(v[12:], uint32(q.head)) // never rung: there is room
	}
	if rings == 0 {
		t.Error("never rung")
	}
	d.enable()
	if len(d.kernel.bells) != 0 {
		t.Errorf("after a reset the kernel answers %v", d.kernel.bells)
	}
	d.pair(1, 8, 8).must(transfer(read, 0, 1, buf, 0))
}

func TestConfig(t *testing.T) {
	image := newImage(imageSize)
	odd := imagetest.New(imageSize, disk.Info{SectorSize: 520})
	mem := newRAM(t)
	for name, change := range map[string]func(c *nvme.Config){
		"namespace 0":     func(c *nvme.Config) { c.Namespaces[0].ID = 0 },
		"namespace 65":    func(c *nvme.Config) { c.Namespaces[0].ID = 65 },
		"twice":           func(c *nvme.Config) { c.Namespaces = append(c.Namespaces, c.Namespaces[0]) },
		"blocks":          func(c *nvme.Config) { c.Namespaces[0].Image = odd },
		"queues":          func(c *nvme.Config) { c.QueuePairs = 65 },
		"fewer than none": func(c *nvme.Config) { c.QueuePairs = -1 },
		"executors":       func(c *nvme.Config) { c.Executors = -1 },
		"long serial":     func(c *nvme.Config) { c.Serial = fmt.Sprint(pattern(1, 21)) },
		"long model":      func(c *nvme.Config) { c.Model = fmt.Sprint(pattern(1, 41)) },
	} {
		c := one(image)
		c.Memory = mem
		change(&c)
		if dev, err := nvme.New(c); err == nil {
			t.Errorf("accepted: %s", name)
			dev.Close()
		}
	}
}
