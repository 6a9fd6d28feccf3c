package scsi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/vmm/state"
)

// fakeImage is a disk in memory that fails when told to.
type fakeImage struct {
	mu        sync.Mutex
	data      []byte
	info      disk.Info
	fail      error
	flushes   int
	discarded int64
	unmapped  bool
	gate      chan struct{} // if set, a read waits for it
}

func newImage(size int) *fakeImage { return &fakeImage{data: make([]byte, size)} }

func (f *fakeImage) ReadAt(p []byte, off int64) (int, error) {
	if f.gate != nil {
		<-f.gate
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return 0, f.fail
	}
	if err := disk.CheckRange(int64(len(f.data)), off, int64(len(p))); err != nil {
		return 0, err
	}
	return copy(p, f.data[off:]), nil
}

func (f *fakeImage) WriteAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return 0, f.fail
	}
	if err := disk.CheckRange(int64(len(f.data)), off, int64(len(p))); err != nil {
		return 0, err
	}
	return copy(f.data[off:], p), nil
}

func (f *fakeImage) Flush() error { f.flushes++; return f.fail }

func (f *fakeImage) WriteZeroes(off, n int64, unmap bool) error {
	f.unmapped = unmap
	_, err := f.WriteAt(make([]byte, n), off)
	return err
}

func (f *fakeImage) Discard(off, n int64) error {
	f.discarded += n
	if f.fail != nil {
		return f.fail
	}
	return disk.CheckRange(int64(len(f.data)), off, n)
}
func (f *fakeImage) Extents(int64, int64, func(disk.Extent) bool) error { return nil }
func (f *fakeImage) Size() int64                                        { return int64(len(f.data)) }
func (f *fakeImage) Info() disk.Info                                    { return f.info }
func (f *fakeImage) Close() error                                       { return nil }

// run carries out a CDB with data of so many bytes, cut into pieces of odd sizes, which hold out first.
func run(u Unit, cdb []byte, out []byte, room int) (*Command, []byte) {
	c := &Command{}
	copy(c.CDB[:], cdb)
	mem := make([]byte, max(room, len(out)))
	copy(mem, out)
	for off, n := 0, 0; off < len(mem); off += n {
		n = min(len(mem)-off, 1+off*2)
		c.Add(mem[off : off+n])
	}
	u.Execute(c)
	return c, mem
}

func newDisk(t testing.TB, c DiskConfig) *Disk {
	t.Helper()
	d, err := NewDisk(c)
	if err != nil {
		t.Fatal(err)
	}
	d.takeAttention()
	return d
}

func newCD(t testing.TB, c CDROMConfig) *CDROM {
	t.Helper()
	d, err := NewCDROM(c)
	if err != nil {
		t.Fatal(err)
	}
	d.takeAttention()
	return d
}

// check compares the outcome of a command.
func check(t *testing.T, what string, c *Command, want Sense, moved int) {
	t.Helper()
	got := Sense{c.Sense[2] & 0xf, c.Sense[12], c.Sense[13]}
	status := Good
	if want != senseNone {
		status = CheckCondition
	}
	if got != want || c.Status != status || moved >= 0 && c.Moved != moved {
		t.Errorf("%s: status %#x, sense %x, moved %d; want sense %x, moved %d", what, c.Status, got, c.Moved, want, moved)
	}
}

// cdb makes the CDB of an operation on blocks, in the form that its group has.
func cdb(op uint8, lba uint64, blocks uint32, flags uint8) []byte {
	p := make([]byte, 16)
	be := binary.BigEndian
	switch op >> 5 {
	case 0:
		be.PutUint32(p, uint32(lba))
		p[4] = uint8(blocks)
	case 1, 2:
		be.PutUint32(p[2:], uint32(lba))
		be.PutUint16(p[7:], uint16(blocks))
	case 5:
		be.PutUint32(p[2:], uint32(lba))
		be.PutUint32(p[6:], blocks)
	case 4:
		be.PutUint64(p[2:], lba)
		be.PutUint32(p[10:], blocks)
	}
	p[0] = op
	p[1] |= flags
	return p
}

func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
}

func TestReadWrite(t *testing.T) {
	for _, size := range []int{512, 4096} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			img := newImage(64 * size)
			img.info.SectorSize = size
			d := newDisk(t, DiskConfig{Image: img})
			for i, op := range [][2]uint8{{opWrite6, opRead6}, {opWrite10, opRead10}, {opWrite12, opRead12}, {opWrite16, opRead16},
				{opWriteVerify10, opRead10}, {opWriteVerify12, opRead12}, {opWriteVerify16, opRead16}} {
				data := pattern(3*size + i)[i:]
				flushes := img.flushes
				c, _ := run(d, cdb(op[0], uint64(i*4), 3, 0), data, 0)
				check(t, "write", c, senseNone, 3*size)
				if verified := i > 3; (img.flushes > flushes) != verified {
					t.Errorf("operation %#x: %d flushes", op[0], img.flushes-flushes)
				}
				c, got := run(d, cdb(op[1], uint64(i*4), 3, 0), nil, 4*size)
				check(t, "read", c, senseNone, 3*size)
				if !bytes.Equal(got[:3*size], data) || c.Residual() != size {
					t.Errorf("operation %#x: other data, or residual %d", op[1], c.Residual())
				}
			}
		})
	}
}

func TestLimits(t *testing.T) {
	img := newImage(64 << 10)
	d := newDisk(t, DiskConfig{Image: img})
	for _, test := range []struct {
		name string
		cdb  []byte
		room int
		want Sense
	}{
		{"last block", cdb(opRead10, 127, 1, 0), 512, senseNone},
		{"beyond the end", cdb(opRead10, 128, 1, 0), 512, senseBadLBA},
		{"across the end", cdb(opWrite10, 127, 2, 0), 1024, senseBadLBA},
		{"zero blocks", cdb(opRead10, 128, 0, 0), 0, senseNone},
		{"wraps", cdb(opRead16, 1<<64-1, 2, 0), 1024, senseBadLBA},
		{"wraps after scaling", cdb(opWrite16, 1<<55, 1, 0), 1024, senseBadLBA},
		{"6 bytes, 256 blocks", cdb(opRead6, 0, 0, 0), 512, senseBadLBA},
		{"protection", cdb(opRead10, 0, 1, 0x20), 512, senseBadField},
		{"short write", cdb(opWrite10, 0, 2, 0), 512, senseDataPhase},
		{"unknown", []byte{0xd7}, 0, senseBadOpcode},
		{"write same of nothing", cdb(opWriteSame10, 0, 0, 0), 512, senseBadField},
		{"verify", cdb(opVerify16, 0, 128, 0), 0, senseNone},
		{"verify too much", cdb(opVerify16, 0, 129, 0), 0, senseBadLBA},
		{"synchronize", cdb(opSyncCache10, 0, 0, 0), 0, senseNone},
		{"synchronize beyond", cdb(opSyncCache16, 129, 0, 0), 0, senseBadLBA},
		{"seek", cdb(opSeek10, 127, 0, 0), 0, senseNone},
		{"seek beyond", cdb(opSeek10, 128, 0, 0), 0, senseBadLBA},
	} {
		c, _ := run(d, test.cdb, nil, test.room)
		check(t, test.name, c, test.want, -1)
	}
	c, got := run(d, cdb(opRead10, 0, 4, 0), nil, 700)
	check(t, "short read", c, senseNone, 700)
	if !c.Overrun || len(got) != 700 {
		t.Error("an overrun is not told")
	}
	big := newDisk(t, DiskConfig{Image: newImage(34 << 20)})
	c, _ = run(big, cdb(opRead16, 0, 33<<11, 0), nil, 512)
	check(t, "more than the limit", c, senseBadField, 0)
}

func TestVerifyCompares(t *testing.T) {
	d := newDisk(t, DiskConfig{Image: newImage(256 << 10)})
	data := pattern(200 << 10)
	c, _ := run(d, cdb(opWrite10, 0, 400, 0), data, 0)
	check(t, "write", c, senseNone, len(data))
	c, _ = run(d, cdb(opVerify10, 0, 400, 2), data, 0)
	check(t, "same", c, senseNone, len(data))
	data[150<<10]++
	c, _ = run(d, cdb(opVerify10, 0, 400, 2), data, 0)
	check(t, "other", c, senseMiscompare, -1)
}

func TestDurability(t *testing.T) {
	for _, through := range []bool{false, true} {
		img := newImage(64 << 10)
		d := newDisk(t, DiskConfig{Image: img, WriteThrough: through})
		mode := func() uint8 {
			_, p := run(d, []byte{opModeSense6, 8, modeCaching, 0, 255}, nil, 255)
			return p[6] & cacheWCE
		}
		flushed := func(cdb []byte) bool {
			before := img.flushes
			c, _ := run(d, cdb, make([]byte, 512), 0)
			check(t, "command", c, senseNone, -1)
			return img.flushes > before
		}
		if flushed(cdb(opWrite10, 0, 1, 0)) != through || !flushed(cdb(opWrite10, 0, 1, flagFUA)) || !flushed(cdb(opWrite16, 0, 1, flagFUA)) ||
			!flushed(cdb(opSyncCache10, 0, 0, 0)) || !flushed(cdb(opSyncCache16, 0, 0, 0)) || flushed(cdb(opWriteSame16, 0, 1, 0)) != through {
			t.Errorf("write-through %v: wrong flushes", through)
		}
		if (mode() == 0) != through {
			t.Errorf("write-through %v: the caching page says %#x", through, mode())
		}
		page := append(make([]byte, 4), modeCaching, 18)
		page = append(page, make([]byte, 18)...)
		c, _ := run(d, []byte{opModeSelect6, 0x10, 0, 0, uint8(len(page))}, page, 0)
		check(t, "cache off", c, senseNone, len(page))
		if mode() != 0 || !flushed(cdb(opWrite10, 0, 1, 0)) {
			t.Error("the cache stays on")
		}
		page[6] = cacheWCE
		want := senseNone
		if through {
			want = senseBadParameter
		}
		c, _ = run(d, []byte{opModeSelect6, 0x10, 0, 0, uint8(len(page))}, page, 0)
		check(t, "cache on", c, want, len(page))
		if (mode() == 0) != through {
			t.Error("the guest chose against the host")
		}
	}
}

func TestModeSelectIsStrict(t *testing.T) {
	d := newDisk(t, DiskConfig{Image: newImage(64 << 10)})
	good := append([]byte{0, 0, 0, 0, modeCaching, 18}, make([]byte, 18)...)
	for _, test := range []struct {
		name string
		list []byte
		size int
		want Sense
	}{
		{"empty", nil, 0, senseNone},
		{"header", good[:4], 4, senseNone},
		{"half a header", good[:3], 3, senseListLength},
		{"less than said", good, 200, senseListLength},
		{"descriptors beyond", []byte{0, 0, 0, 8}, 4, senseListLength},
		{"half a page", good[:20], 20, senseBadParameter},
		{"unknown page", append([]byte{0, 0, 0, 0, 0x33, 18}, make([]byte, 18)...), 24, senseBadParameter},
		{"another bit", append([]byte{0, 0, 0, 0, modeCaching, 18, 1}, make([]byte, 17)...), 24, senseBadParameter},
	} {
		c, _ := run(d, []byte{opModeSelect6, 0x10, 0, 0, uint8(test.size)}, test.list, 0)
		check(t, test.name, c, test.want, -1)
	}
	long := append(make([]byte, 8), good[4:]...)
	c, _ := run(d, []byte{opModeSelect10, 0x10, 0, 0, 0, 0, 0, 0, uint8(len(long))}, long, 0)
	check(t, "10 bytes", c, senseNone, len(long))
}

func TestImageErrors(t *testing.T) {
	for _, test := range []struct {
		err   error
		cdb   []byte
		want  Sense
		block uint32
	}{
		{errors.New("bad"), cdb(opRead10, 5, 1, 0), senseReadFault, 5},
		{errors.New("bad"), cdb(opWrite10, 6, 1, 0), senseWriteFault, 6},
		{fmt.Errorf("x: %w", disk.ErrReadOnly), cdb(opWrite10, 6, 1, 0), senseReadOnly, 0},
		{fmt.Errorf("x: %w", disk.ErrFull), cdb(opWrite16, 6, 1, 0), senseNoSpace, 0},
		{fmt.Errorf("x: %w", syscall.ENOSPC), cdb(opSyncCache10, 0, 0, 0), senseNoSpace, 0},
		{errors.New("bad"), cdb(opSyncCache16, 0, 0, 0), senseWriteFault, 0},
		{errors.New("bad"), cdb(opVerify10, 0, 1, 0), senseReadFault, 0},
		{errors.New("bad"), cdb(opWriteSame10, 3, 1, 0), senseWriteFault, 3},
	} {
		img := newImage(64 << 10)
		d := newDisk(t, DiskConfig{Image: img})
		img.fail = test.err
		c, _ := run(d, test.cdb, make([]byte, 512), 0)
		check(t, fmt.Sprintf("%x", test.cdb), c, test.want, 0)
		if test.block != 0 && (c.Sense[0] != 0xf0 || binary.BigEndian.Uint32(c.Sense[3:]) != test.block) {
			t.Errorf("%x: sense %x does not name block %d", test.cdb, c.Sense, test.block)
		}
		img.fail = nil
		c, _ = run(d, test.cdb, make([]byte, 512), 0)
		check(t, "once it works again", c, senseNone, -1)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	img := newImage(64 << 10)
	img.info.ReadOnly = true
	d := newDisk(t, DiskConfig{Image: img})
	for _, op := range []uint8{opWrite6, opWrite10, opWrite12, opWrite16, opWriteVerify10, opWriteSame10, opWriteSame16, opUnmap} {
		c, _ := run(d, cdb(op, 0, 1, 0), make([]byte, 512), 0)
		check(t, fmt.Sprintf("%#x", op), c, senseReadOnly, 0)
	}
	if _, p := run(d, []byte{opModeSense6, 0, modeAll, 0, 255}, nil, 255); p[2]&devSpecWrite == 0 {
		t.Error("the guest is not told")
	}
}

func TestClear(t *testing.T) {
	img := newImage(1 << 20)
	d := newDisk(t, DiskConfig{Image: img})
	copy(img.data, pattern(len(img.data)))
	c, _ := run(d, cdb(opWriteSame10, 1, 4, 0), bytes.Repeat([]byte{0xab}, 512), 0)
	check(t, "pattern", c, senseNone, 512)
	if !bytes.Equal(img.data[512:5*512], bytes.Repeat([]byte{0xab}, 4*512)) || img.data[511] == 0xab || img.data[5*512] == 0xab {
		t.Error("the pattern is not where it should be")
	}
	c, _ = run(d, cdb(opWriteSame16, 1, 600, 0x08), make([]byte, 512), 0)
	check(t, "zeroes", c, senseNone, 512)
	if !img.unmapped || !allZero(img.data[512:601*512]) || img.data[601*512+1] == 0 {
		t.Error("the zeroes are not where they should be")
	}
	c, _ = run(d, cdb(opWriteSame16, 0, 1, 0x01), nil, 0)
	check(t, "zeroes without data", c, senseNone, 0)
	list := func(ranges ...[2]uint64) []byte {
		p := make([]byte, 8)
		binary.BigEndian.PutUint16(p[2:], uint16(16*len(ranges)))
		for _, r := range ranges {
			p = binary.BigEndian.AppendUint64(p, r[0])
			p = binary.BigEndian.AppendUint32(p, uint32(r[1]))
			p = append(p, 0, 0, 0, 0)
		}
		return p
	}
	many := make([][2]uint64, maxUnmapRanges+1)
	for _, test := range []struct {
		name string
		list []byte
		size int
		want Sense
		n    int64
	}{
		{"two ranges", list([2]uint64{0, 8}, [2]uint64{2040, 8}), 40, senseNone, 16},
		{"none", list(), 8, senseNone, 0},
		{"nothing", nil, 0, senseNone, 0},
		{"beyond", list([2]uint64{0, 8}, [2]uint64{2041, 8}), 40, senseBadLBA, 0},
		{"wraps", list([2]uint64{1<<64 - 1, 8}), 24, senseBadLBA, 0},
		{"as many as may be", list(many[1:]...), 8 + 16*maxUnmapRanges, senseNone, 0},
		{"too many", list(many...), 8 + 16*(maxUnmapRanges+1), senseBadParameter, 0},
		{"longer than said", list([2]uint64{0, 8}), 16, senseBadParameter, 0},
		{"short", list([2]uint64{0, 8}), 100, senseListLength, 0},
	} {
		img.discarded = 0
		c, _ := run(d, cdb(opUnmap, 0, uint32(test.size), 0), test.list, 0)
		check(t, test.name, c, test.want, -1)
		if img.discarded != test.n*512 {
			t.Errorf("%s: %d bytes discarded", test.name, img.discarded)
		}
	}
}

func TestInquiry(t *testing.T) {
	d := newDisk(t, DiskConfig{Image: newImage(64 << 10), Serial: "vmm-scsi0:0", Parallel: true})
	c, p := run(d, []byte{opInquiry, 0, 0, 0, 255}, nil, 255)
	check(t, "inquiry", c, senseNone, standardLength)
	if got := string(p[8:36]); got != "VMware  Virtual disk    2.0 " || p[0] != 0 || p[2] != 6 || p[7] != 0x32 {
		t.Errorf("inquiry %q %x", got, p[:60])
	}
	c, _ = run(d, []byte{opInquiry, 0, 0, 0, 36}, nil, 255)
	check(t, "inquiry of 36 bytes", c, senseNone, 36)
	if c.Overrun {
		t.Error("a short allocation is an overrun")
	}
	_, p = run(d, []byte{opInquiry, 1, 0, 0, 255}, nil, 255)
	for _, code := range p[4 : 4+p[3]] {
		c, q := run(d, []byte{opInquiry, 1, code, 0, 255}, nil, 255)
		check(t, "page", c, senseNone, int(q[3])+4)
		if q[1] != code {
			t.Errorf("page %#x says it is %#x", code, q[1])
		}
	}
	c, p = run(d, []byte{opInquiry, 1, pageSerial, 0, 255}, nil, 255)
	if string(p[4:c.Moved]) != "vmm-scsi0:0" {
		t.Errorf("serial number %q", p[4:c.Moved])
	}
	c, _ = run(d, []byte{opInquiry, 1, 0xc7, 0, 255}, nil, 255)
	check(t, "unknown page", c, senseBadField, 0)
	c, _ = run(d, []byte{opInquiry, 0, 0x80, 0, 255}, nil, 255)
	check(t, "page without EVPD", c, senseBadField, 0)
}

func TestCapacity(t *testing.T) {
	img := newImage(64<<10 + 100)
	d := newDisk(t, DiskConfig{Image: img})
	_, p := run(d, []byte{opReadCapacity10}, nil, 8)
	if binary.BigEndian.Uint32(p) != 127 || binary.BigEndian.Uint32(p[4:]) != 512 {
		t.Errorf("%x", p)
	}
	_, p = run(d, []byte{opServiceIn16, serviceReadCapacity, 13: 32}, nil, 32)
	if binary.BigEndian.Uint64(p) != 127 || binary.BigEndian.Uint32(p[8:]) != 512 || p[13] != 3 || p[14] != 0x80 {
		t.Errorf("%x", p)
	}
	img.data = make([]byte, 128<<10)
	d.Resized()
	c, _ := run(d, []byte{opTestUnitReady}, nil, 0)
	check(t, "after a change of size", c, senseCapacityChanged, 0)
	_, p = run(d, []byte{opReadCapacity10}, nil, 8)
	if binary.BigEndian.Uint32(p) != 255 {
		t.Errorf("%x", p)
	}
}

func TestAttention(t *testing.T) {
	d, err := NewDisk(DiskConfig{Image: newImage(64 << 10)})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := run(d, cdb(opRead10, 0, 1, 0), nil, 512)
	check(t, "at power-on", c, senseNone, 512)
	d.Reset(DeviceReset)
	c, _ = run(d, []byte{opInquiry, 0, 0, 0, 36}, nil, 36)
	check(t, "inquiry", c, senseNone, 36)
	c, _ = run(d, cdb(opRead10, 0, 1, 0), nil, 512)
	check(t, "first", c, DeviceReset, 0)
	c, _ = run(d, cdb(opRead10, 0, 1, 0), nil, 512)
	check(t, "second", c, senseNone, 512)
	run(d, []byte{opStartStop}, nil, 0)
	c, _ = run(d, []byte{opTestUnitReady}, nil, 0)
	check(t, "stopped", c, senseStopped, 0)
	d.Reset(BusReset)
	_, p := run(d, []byte{opRequestSense, 0, 0, 0, 18}, nil, 18)
	if p[2] != keyAttention || p[12] != 0x29 || p[13] != 2 {
		t.Errorf("request sense says %x", p)
	}
	c, _ = run(d, []byte{opTestUnitReady}, nil, 0)
	check(t, "after the reset", c, senseNone, 0)
}

func TestAbsentUnit(t *testing.T) {
	c := &Command{}
	p := make([]byte, 64)
	c.CDB = [CDBSize]byte{opInquiry, 0, 0, 0, 36}
	c.Add(p)
	ExecuteAbsent(c)
	if c.Status != Good || p[0] != 0x7f || c.Moved != 36 {
		t.Errorf("%x", p)
	}
	c.Clear()
	c.CDB = [CDBSize]byte{opReportLUNs, 9: 64}
	c.Add(p)
	ExecuteAbsent(c)
	if c.Moved != 16 || p[3] != 8 {
		t.Errorf("%x", p)
	}
	c.Clear()
	c.CDB = [CDBSize]byte{opTestUnitReady}
	ExecuteAbsent(c)
	check(t, "test unit ready", c, senseBadUnit, 0)
}

// cycle saves u and restores it into fresh.
func cycle(t *testing.T, u, fresh Unit) {
	t.Helper()
	var w, again state.Writer
	u.Save(&w)
	if err := fresh.Restore(state.NewReader(w.Data())); err != nil {
		t.Fatal(err)
	}
	if fresh.Save(&again); !bytes.Equal(w.Data(), again.Data()) {
		t.Error("the restored unit saves another state")
	}
	for n := range w.Data() {
		if err := fresh.Restore(state.NewReader(w.Data()[:n])); !errors.Is(err, state.ErrCorrupt) {
			t.Fatalf("state cut to %d bytes: %v", n, err)
		}
	}
}

func TestState(t *testing.T) {
	img := newImage(64 << 10)
	d := newDisk(t, DiskConfig{Image: img})
	d.cached.Store(false)
	run(d, []byte{opStartStop}, nil, 0)
	d.Resized()
	cycle(t, d, newDisk(t, DiskConfig{Image: img}))
	cd := newCD(t, CDROMConfig{Image: img, KeepSense: true})
	run(cd, []byte{opReadCapacity10}, nil, 8)
	run(cd, []byte{opStartStop, 0, 0, 0, 2}, nil, 0)
	run(cd, []byte{opPreventRemoval, 0, 0, 0, 1}, nil, 0)
	run(cd, []byte{0xff}, nil, 0)
	cycle(t, cd, newCD(t, CDROMConfig{Image: img, KeepSense: true}))
}

func BenchmarkRead(b *testing.B) {
	d := newDisk(b, DiskConfig{Image: newImage(1 << 20)})
	c, mem, read := new(Command), make([]byte, 4096), cdb(opRead10, 8, 8, 0)
	b.ReportAllocs()
	for b.Loop() {
		c.Clear()
		copy(c.CDB[:], read)
		c.Add(mem)
		d.Execute(c)
	}
}
