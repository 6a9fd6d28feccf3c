package gpu

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/virtiotest"
	"github.com/sharevm/vmm/vmm/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testCard is a card with its driver.
type testCard struct {
	*virtiotest.Driver
	dev     *Device
	screens []*display.Surface
}

func newDevice(t testing.TB, screens []*display.Surface) *Device {
	t.Helper()
	d, err := New(Config{Screens: screens, Width: 640, Height: 480, MaxBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newScreens(n int) (all []*display.Surface) {
	for range n {
		all = append(all, display.NewSurface())
	}
	return all
}

func newCard(t testing.TB, scanouts int) *testCard {
	t.Helper()
	c := &testCard{screens: newScreens(scanouts)}
	c.dev = newDevice(t, c.screens)
	// The driver takes the device away before this.
	t.Cleanup(func() { _ = c.dev.Close() })
	c.Driver = virtiotest.New(t, c.dev)
	c.Start(^uint64(0))
	return c
}

// words is a command: its header, and numbers of 32 bits.
func words(kind uint32, v ...uint32) []byte {
	b := make([]byte, headerSize)
	binary.LittleEndian.PutUint32(b, kind)
	for _, w := range v {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// do carries out a command and returns the code of the answer.
func (c *testCard) do(kind uint32, v ...uint32) uint32 {
	c.T.Helper()
	return binary.LittleEndian.Uint32(c.Queues[controlQueue].Submit([][]byte{words(kind, v...)}, headerSize).Wait())
}

func (c *testCard) must(kind uint32, v ...uint32) {
	c.T.Helper()
	if code := c.do(kind, v...); code != respOK {
		c.T.Fatalf("command %#x: %#x", kind, code)
	}
}

// back attaches RAM of n bytes in pieces, in reverse order of their addresses unless they are to be side by side.
func (c *testCard) back(id uint32, n, pieces int, together bool) (ram [][]byte) {
	c.T.Helper()
	base := c.Alloc(n)
	size := n / pieces
	entries := []uint32{id, uint32(pieces)}
	for i := range pieces {
		at := base + uint64(i*size)
		if !together {
			at = base + uint64((pieces-1-i)*size)
		}
		entries = append(entries, uint32(at), uint32(at>>32), uint32(size), 0)
		ram = append(ram, c.RAM(at, size))
	}
	c.must(cmdAttachBacking, entries...)
	return ram
}

func TestDisplayInfo(t *testing.T) {
	c := newCard(t, 2)
	if n := binary.LittleEndian.Uint32(c.DeviceConfig(configScanouts, 4)); n != 2 {
		t.Errorf("%d scanouts", n)
	}
	info := func() (all []uint32) {
		b := c.Queues[controlQueue].Submit([][]byte{words(cmdGetDisplayInfo)}, displayInfoSize).Wait()
		for i := headerSize; i < headerSize+3*24; i += 4 {
			all = append(all, binary.LittleEndian.Uint32(b[i:]))
		}
		return all
	}
	if got, want := info(), []uint32{0, 0, 640, 480, 1, 0, 640, 0, 640, 480, 1, 0, 0, 0, 0, 0, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	c.screens[0].Wish(image.Pt(1024, 768))
	c.AwaitConfigChange()
	if e := c.DeviceConfig(0, 4); e[0] != eventDisplay {
		t.Errorf("events %v", e)
	}
	c.SetDeviceConfig(configEventsClear, []byte{1, 0, 0, 0})
	if e := c.DeviceConfig(0, 4); e[0] != 0 {
		t.Errorf("events %v after they were cleared", e)
	}
	if got := info(); got[2] != 1024 || got[6] != 1024 {
		t.Errorf("after a wish: %v", got)
	}
	edid := c.Queues[controlQueue].Submit([][]byte{words(cmdGetEDID, 0, 0)}, edidSize).Wait()
	want := display.EDID(1024, 768)
	if binary.LittleEndian.Uint32(edid) != respEDID || edid[headerSize] != 128 || !slices.Equal(edid[headerSize+8:][:128], want[:]) {
		t.Errorf("EDID % x", edid[:64])
	}
	if code := c.do(cmdGetEDID, 2, 0); code != respBadScanout {
		t.Errorf("%#x", code)
	}
}

// TestDrawing shows a picture on two scanouts, of which one has a part.
func TestDrawing(t *testing.T) {
	for name, together := range map[string]bool{"pieces side by side": true, "pieces anywhere": false} {
		t.Run(name, func(t *testing.T) {
			c := newCard(t, 2)
			c.must(cmdCreate2D, 5, 2, 64, 32)
			ram := c.back(5, 64*32*4, 8, together)
			if got := len(c.dev.resources[5].backing); together != (got == 1) {
				t.Errorf("%d pieces", got)
			}
			draw := func(x, y int, v uint32) {
				at := (y*64 + x) * 4
				binary.LittleEndian.PutUint32(ram[at/1024][at%1024:], v)
			}
			for y := range 32 {
				for x := range 64 {
					draw(x, y, uint32(y)<<16|uint32(x))
				}
			}
			c.must(cmdTransferToHost2D, 0, 0, 64, 32, 0, 0, 5, 0)
			c.must(cmdSetScanout, 0, 0, 64, 32, 0, 5)
			c.must(cmdSetScanout, 16, 8, 20, 10, 1, 5)
			for i, origin := range []image.Point{{}, {16, 8}} {
				img, err := c.screens[i].Image()
				if err != nil {
					t.Fatal(err)
				}
				for y := range img.Rect.Dy() {
					for x := range img.Rect.Dx() {
						if got, want := img.RGBAAt(x, y), (color.RGBA{uint8(origin.Y + y), 0, uint8(origin.X + x), 255}); got != want {
							t.Fatalf("scanout %d: (%d, %d) is %v, want %v", i, x, y, got, want)
						}
					}
				}
			}
			v := c.screens[1].NewViewer()
			defer v.Close()
			v.Update()
			draw(17, 9, 0x112233)
			draw(17, 10, 0x112233)
			draw(18, 9, 0x445566)
			c.must(cmdTransferToHost2D, 17, 9, 1, 2, (9*64+17)*4, 0, 5, 0)
			c.must(cmdFlush, 17, 9, 40, 2, 5, 0)
			u := v.Update()
			if !slices.Equal(u.Damage, []image.Rectangle{image.Rect(1, 1, 20, 3)}) {
				t.Errorf("damage %v", u.Damage)
			}
			pixel := func(x, y int) uint32 { return binary.LittleEndian.Uint32(u.Frame.Line(y)[4*x:]) & 0xffffff }
			if pixel(1, 1) != 0x112233 || pixel(1, 2) != 0x112233 || pixel(2, 1) != 9<<16|18 {
				t.Errorf("pixels %#x %#x %#x", pixel(1, 1), pixel(1, 2), pixel(2, 1))
			}
			c.must(cmdFlush, 0, 0, 10, 2, 5, 0) // outside of this scanout
			if u := v.Update(); len(u.Damage) != 0 {
				t.Errorf("damage %v", u.Damage)
			}
			c.must(cmdUnref, 5, 0)
			if u := v.Update(); !u.Frame.Off() {
				t.Error("a freed picture is shown")
			}
			if c.dev.bytes != 0 || c.dev.pieces != 0 {
				t.Errorf("%d bytes and %d pieces of nothing", c.dev.bytes, c.dev.pieces)
			}
		})
	}
}

func TestCursor(t *testing.T) {
	c := newCard(t, 1)
	v := c.screens[0].NewViewer()
	defer v.Close()
	c.must(cmdCreate2D, 1, 67, 16, 8) // R, G, B, A
	ram := c.back(1, 16*8*4, 1, true)
	copy(ram[0], []byte{1, 2, 3, 4})
	c.must(cmdTransferToHost2D, 0, 0, 16, 8, 0, 0, 1, 0)
	move := func(v ...uint32) { c.Queues[cursorQueue].Submit([][]byte{words(v[0], v[1:]...)}).Wait() }
	move(cmdUpdateCursor, 0, 100, 50, 0, 1, 3, 4, 0)
	got := v.Update().Cursor
	if !got.Visible || got.Position != image.Pt(103, 54) || got.Hot != image.Pt(3, 4) || !slices.Equal(got.Pixels[:4], []byte{3, 2, 1, 4}) {
		t.Errorf("%+v", got)
	}
	minus := ^uint32(1)
	move(cmdMoveCursor, 0, minus, 7, 0, 0, 0, 0, 0)
	if next := v.Update().Cursor; next.Position != image.Pt(1, 11) || next.Serial != got.Serial {
		t.Errorf("%+v", next)
	}
	move(cmdUpdateCursor, 0, 0, 0, 0, 77, 0, 0, 0) // nothing of that name
	if !v.Update().Cursor.Visible {
		t.Error("hidden by mistake")
	}
	move(cmdUpdateCursor, 0, 0, 0, 0, 0, 0, 0, 0)
	if v.Update().Cursor.Visible {
		t.Error("not hidden")
	}
	if code := c.do(cmdMoveCursor, 0, 0, 0, 0, 0, 0, 0, 0); code != respUnspecified {
		t.Errorf("a cursor command in the control queue: %#x", code)
	}
}

func TestFence(t *testing.T) {
	c := newCard(t, 1)
	b := words(cmdUnref, 1, 0)
	b[4] = flagFence
	binary.LittleEndian.PutUint64(b[8:], 0x123456789)
	got := c.Queues[controlQueue].Submit([][]byte{b}, headerSize).Wait()
	if binary.LittleEndian.Uint32(got) != respBadResource || got[4] != flagFence || binary.LittleEndian.Uint64(got[8:]) != 0x123456789 {
		t.Errorf("% x", got)
	}
}

func TestHostile(t *testing.T) {
	c := newCard(t, 1)
	const big = 0xffffffff
	c.must(cmdCreate2D, 1, 1, 16, 16)
	for name, test := range map[string]struct {
		want uint32
		cmd  []uint32
	}{
		"no command":                   {respUnspecified, []uint32{0}},
		"unknown command":              {respUnspecified, []uint32{0x108, 0, 0}},
		"cut command":                  {respBadParameter, []uint32{cmdCreate2D, 1, 1, 1}},
		"resource 0":                   {respBadResource, []uint32{cmdCreate2D, 0, 1, 1, 1}},
		"resource twice":               {respBadResource, []uint32{cmdCreate2D, 1, 1, 1, 1}},
		"format":                       {respBadParameter, []uint32{cmdCreate2D, 2, 9, 1, 1}},
		"no width":                     {respBadParameter, []uint32{cmdCreate2D, 2, 1, 0, 1}},
		"wide":                         {respBadParameter, []uint32{cmdCreate2D, 2, 1, big, big}},
		"large":                        {respOutOfMemory, []uint32{cmdCreate2D, 2, 1, 16384, 16384}},
		"a little too large":           {respOutOfMemory, []uint32{cmdCreate2D, 2, 1, 1024, 1024}},
		"transfer without backing":     {respUnspecified, []uint32{cmdTransferToHost2D, 0, 0, 1, 1, 0, 0, 1, 0}},
		"transfer outside":             {respBadParameter, []uint32{cmdTransferToHost2D, 1, 1, 16, 16, 0, 0, 1, 0}},
		"transfer beyond numbers":      {respBadParameter, []uint32{cmdTransferToHost2D, big, big, big, big, 0, 0, 1, 0}},
		"transfer to nothing":          {respBadResource, []uint32{cmdTransferToHost2D, 0, 0, 1, 1, 0, 0, 7, 0}},
		"backing outside of RAM":       {respBadParameter, []uint32{cmdAttachBacking, 1, 1, 0, big, 16, 0}},
		"backing that wraps":           {respBadParameter, []uint32{cmdAttachBacking, 1, 1, big, big, big, 0}},
		"backing that is not said":     {respBadParameter, []uint32{cmdAttachBacking, 1, 2, 0, 0, 16, 0}},
		"backing of very many pieces":  {respBadParameter, []uint32{cmdAttachBacking, 1, big, 0, 0, 16, 0}},
		"backing of none":              {respBadParameter, []uint32{cmdAttachBacking, 1, 0}},
		"flush outside":                {respBadParameter, []uint32{cmdFlush, 0, 0, 17, 1, 1, 0}},
		"flush of nothing":             {respBadParameter, []uint32{cmdFlush, 0, 0, 0, 0, 1, 0}},
		"scanout of nothing":           {respBadResource, []uint32{cmdSetScanout, 0, 0, 16, 16, 0, 7}},
		"scanout beyond the picture":   {respBadParameter, []uint32{cmdSetScanout, 1, 0, 16, 16, 0, 1}},
		"scanout that is not there":    {respBadScanout, []uint32{cmdSetScanout, 0, 0, 16, 16, 1, 1}},
		"scanout far from there":       {respBadScanout, []uint32{cmdSetScanout, 0, 0, 16, 16, big, 0}},
		"freeing what is not there":    {respBadResource, []uint32{cmdUnref, 2, 0}},
		"detaching what is not there":  {respBadResource, []uint32{cmdDetachBacking, 2, 0}},
		"detaching what has no memory": {respOK, []uint32{cmdDetachBacking, 1, 0}},
	} {
		if got := c.do(test.cmd[0], test.cmd[1:]...); got != test.want {
			t.Errorf("%s: %#x, want %#x", name, got, test.want)
		}
	}
	c.back(1, 16*16*4, 2, true)
	for _, offset := range [][2]uint32{{1, 0}, {16 * 16 * 4, 0}, {big, big}} {
		if code := c.do(cmdTransferToHost2D, 0, 0, 16, 16, offset[0], offset[1], 1, 0); code != respBadParameter {
			t.Errorf("a transfer from %#x: %#x", offset, code)
		}
	}
	if code := c.do(cmdAttachBacking, 1, 1, 0, 0, 16, 0); code != respUnspecified {
		t.Errorf("a second backing: %#x", code)
	}
	made := 0
	for id := uint32(10); c.do(cmdCreate2D, id, 1, 1, 1) == respOK; id++ {
		if made++; made > maxResources {
			t.Fatal("resources never run out")
		}
	}
	if made != maxResources-1 {
		t.Errorf("%d resources", made)
	}
	c.Reset()
	if c.dev.bytes != 0 || len(c.dev.resources) != 0 || c.dev.pieces != 0 {
		t.Error("a reset leaves something")
	}
	c.Start(^uint64(0))
	c.must(cmdCreate2D, 1, 1, 16, 16)
}

func TestSnapshot(t *testing.T) {
	c := newCard(t, 2)
	c.must(cmdCreate2D, 3, 1, 64, 64)
	ram := c.back(3, 64*64*4, 4, false)
	copy(ram[0], []byte{9, 8, 7, 6})
	c.must(cmdTransferToHost2D, 0, 0, 64, 64, 0, 0, 3, 0)
	c.must(cmdSetScanout, 0, 0, 64, 64, 1, 3)
	c.Queues[cursorQueue].Submit([][]byte{words(cmdUpdateCursor, 1, 10, 20, 0, 3, 1, 2, 0)}).Wait()
	c.screens[0].Wish(image.Pt(800, 600))
	screens := newScreens(2)
	c.Migrate(func() virtio.Device {
		_ = c.dev.Close()
		next := newDevice(t, screens)
		c.dev = next
		return next
	})
	v := screens[1].NewViewer()
	defer v.Close()
	u := v.Update()
	if u.Frame.Off() || u.Frame.Line(0)[0] != 9 || u.Cursor.Position != image.Pt(11, 22) || !u.Cursor.Visible {
		t.Errorf("%+v", u)
	}
	copy(ram[0], []byte{1})
	c.must(cmdTransferToHost2D, 0, 0, 64, 64, 0, 0, 3, 0)
	if u.Frame.Line(0)[0] != 1 {
		t.Error("the backing is lost")
	}
	if c.dev.scanouts[0].size != image.Pt(800, 600) || c.dev.pieces != len(c.dev.resources[3].backing) {
		t.Error("sizes or counts are lost")
	}
}

// TestPicturesLater restores a card whose pictures come slowly: its screen is off until they are there, and what is saved meanwhile has them.
func TestPicturesLater(t *testing.T) {
	c := newCard(t, 1)
	c.must(cmdCreate2D, 3, 1, 64, 64)
	ram := c.back(3, 64*64*4, 1, false)
	copy(ram[0], []byte{9, 8, 7, 6})
	c.must(cmdTransferToHost2D, 0, 0, 64, 64, 0, 0, 3, 0)
	c.must(cmdSetScanout, 0, 0, 64, 64, 0, 3)
	c.dev.Pause()
	f, err := os.Create(filepath.Join(t.TempDir(), "pages"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := state.Writer{Aside: state.NewAside(f)}
	c.dev.Save(&w)
	c.dev.Resume()

	slow := &slowFile{File: f, open: make(chan struct{})}
	r := state.NewReader(w.Data())
	r.Aside = state.NewAside(slow)
	screens := newScreens(1)
	next := newDevice(t, screens)
	defer next.Close()
	if err := next.Restore(r); err != nil {
		t.Fatal(err)
	}
	v := screens[0].NewViewer()
	defer v.Close()
	if u := v.Update(); !u.Frame.Off() {
		t.Error("a picture is shown that is not there yet")
	}
	saved := make(chan []byte)
	go func() {
		var w state.Writer
		next.Save(&w)
		saved <- w.Data()
	}()
	close(slow.open)
	var want state.Writer
	c.dev.Save(&want)
	if got := <-saved; !bytes.Equal(got, want.Data()) {
		t.Error("what was saved meanwhile is something else")
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if u := v.Update(); !u.Frame.Off() {
			if p := u.Frame.Line(0)[:4]; !bytes.Equal(p, []byte{9, 8, 7, 6}) {
				t.Errorf("the picture begins with %v", p)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatal("the picture is never shown")
		}
	}
}

// slowFile has its pages read when it is open.
type slowFile struct {
	*os.File
	open chan struct{}
}

func (s *slowFile) ReadAt(p []byte, off int64) (int, error) {
	if len(p) > 1 {
		<-s.open
	}
	return s.File.ReadAt(p, off)
}

func TestCycle(t *testing.T) {
	id := uint32(0)
	virtiotest.SnapshotCycle(t, func() virtio.Device {
		d := newDevice(t, newScreens(1))
		t.Cleanup(func() { _ = d.Close() })
		return d
	}, func(t *testing.T, d *virtiotest.Driver) {
		if d.Queues == nil {
			d.Start(^uint64(0))
		}
		c := &testCard{Driver: d}
		id++
		c.must(cmdCreate2D, id, 1, 8, 8)
		c.back(id, 8*8*4, 2, false)
		c.must(cmdSetScanout, 0, 0, 8, 8, 0, id)
	})
}

// FuzzGPU plays a guest against the card: it answers or asks for a reset, whatever comes, and works after one.
func FuzzGPU(f *testing.F) {
	f.Add([]byte{})
	kinds := []uint32{cmdGetDisplayInfo, cmdCreate2D, cmdUnref, cmdSetScanout, cmdFlush, cmdTransferToHost2D, cmdAttachBacking, cmdDetachBacking, cmdGetEDID, cmdUpdateCursor, cmdMoveCursor, 0x999}
	for i := range kinds {
		f.Add([]byte{3, 0, 0, byte(i), 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 1, 0, 1})
	}
	number := func(s *virtiotest.Source) uint32 {
		switch s.Below(4) {
		case 0:
			return s.Uint32()
		case 1:
			return uint32(s.Byte())
		default:
			return uint32(s.Below(8))
		}
	}
	craft := func(s *virtiotest.Source, _ int) (out [][]byte, in []int) {
		b := words(kinds[s.Below(len(kinds))])
		for range s.Below(14) {
			b = binary.LittleEndian.AppendUint32(b, number(s))
		}
		return [][]byte{b}, []int{[]int{headerSize, displayInfoSize, edidSize, 1}[s.Below(4)]}
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		screens := newScreens(2)
		dev := newDevice(t, screens)
		t.Cleanup(func() { _ = dev.Close() })
		v := screens[0].NewViewer()
		defer v.Close()
		d := virtiotest.New(t, dev)
		d.Play(program, virtiotest.Game{Craft: craft, Answers: func(*virtiotest.Driver, int) bool { return true }})
		if u := v.Update(); !u.Frame.Off() {
			_ = u.Frame.Line(u.Frame.Height - 1)
		}
		c := &testCard{Driver: d}
		if code := c.do(cmdUnref, 0xfffffff0, 0); code != respBadResource {
			t.Errorf("%#x", code)
		}
	})
}

// FuzzRestore has a card take a state that was tampered with.
func FuzzRestore(f *testing.F) {
	c := newCard(f, 1)
	c.must(cmdCreate2D, 3, 1, 64, 64)
	c.back(3, 64*64*4, 4, false)
	c.must(cmdSetScanout, 0, 0, 64, 64, 0, 3)
	c.Queues[cursorQueue].Submit([][]byte{words(cmdUpdateCursor, 0, 10, 20, 0, 3, 1, 2, 0)}).Wait()
	c.dev.Pause()
	var w state.Writer
	c.dev.Save(&w)
	f.Add(uint16(20), byte(1))
	f.Fuzz(func(t *testing.T, at uint16, flip byte) {
		data := slices.Clone(w.Data())
		data[int(at)%len(data)] ^= flip
		screens := newScreens(1)
		d := newDevice(t, screens)
		defer d.Close()
		err := d.Restore(state.NewReader(data))
		if err != nil && (len(d.resources) > 0 || d.bytes != 0 || d.pieces != 0) {
			t.Error("something is left of a state that was refused")
		}
		_, _ = screens[0].Image()
	})
}

func BenchmarkTransfer1080p(b *testing.B) {
	c := newCard(b, 1)
	c.dev.maxBytes = 64 << 20
	c.must(cmdCreate2D, 1, 1, 1920, 1080)
	r := c.dev.resources[1]
	ram := make([]byte, 1920*1080*4)
	for at := 0; at < len(ram); at += 4096 {
		end := min(at+4096, len(ram))
		r.backing = append(r.backing, piece{start: uint64(at), size: uint64(end - at), host: ram[at:end]})
	}
	defer func() { r.backing = nil }()
	b.SetBytes(int64(len(ram)))
	b.ReportAllocs()
	for b.Loop() {
		if r.transfer(r.bounds(), 0) != respOK {
			b.Fatal("refused")
		}
	}
}
