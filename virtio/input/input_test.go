package input

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/virtiotest"
	"github.com/sharevm/vmm/vmm/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func selectConfig(d *virtiotest.Driver, selected, subsel byte) []byte {
	d.SetDeviceConfig(configSelect, []byte{selected, subsel})
	c := d.DeviceConfig(0, configSize)
	return c[configData : configData+int(c[configLength])]
}

func hasBit(bits []byte, c input.Code) bool {
	return int(c/8) < len(bits) && bits[c/8]>>(c%8)&1 != 0
}

func TestConfiguration(t *testing.T) {
	for class, name := range names {
		d := virtiotest.New(t, New(input.Class(class), nil))
		d.Start(^uint64(0))
		if got := string(selectConfig(d, selectName, 0)); got != name {
			t.Errorf("name %q", got)
		}
		if got := selectConfig(d, selectDevIDs, 0); len(got) != 8 || got[0] != busVirtual {
			t.Errorf("%s: IDs % x", name, got)
		}
		for selected := range 256 {
			for _, subsel := range []byte{0, 1, 2, 3, 4, 5, 0x11, 0x14, 0x1f, 0xff} {
				if n := len(selectConfig(d, byte(selected), subsel)); n > 128 || n > 0 && selected != selectName && selected != selectDevIDs && selected != selectEvents && selected != selectAbsInfo {
					t.Errorf("%s: %d bytes at %#x", name, n, selected)
				}
			}
		}
		keys, rel, abs := selectConfig(d, selectEvents, 1), selectConfig(d, selectEvents, 2), selectConfig(d, selectEvents, 3)
		keyboard, tablet := class == int(input.Keyboard), class == int(input.Tablet)
		for _, test := range []struct {
			what string
			got  bool
			want bool
		}{
			{"keys", hasBit(keys, input.KeyA) && hasBit(keys, input.KeyMedia), keyboard},
			{"buttons", hasBit(keys, input.ButtonLeft) && hasBit(keys, input.ButtonBack), !keyboard},
			{"motion", hasBit(rel, input.RelX), class == int(input.Mouse)},
			{"wheel", hasBit(rel, input.RelWheel), !keyboard},
			{"place", hasBit(abs, input.AbsY), tablet},
			{"range", len(selectConfig(d, selectAbsInfo, 1)) == 20, tablet},
			{"repeat", len(selectConfig(d, selectEvents, typeRepeat)) > 0, keyboard},
			{"LEDs", fmt.Sprint(selectConfig(d, selectEvents, typeLED)) == "[7]", keyboard},
		} {
			if test.got != test.want {
				t.Errorf("%s: %s: %v", name, test.what, test.got)
			}
		}
		d.SetDeviceConfig(configLength, []byte{9, 9, 9, 9, 9, 9, 9, 9, 9, 9})
		d.Reset()
		if c := d.DeviceConfig(0, 3); c[0] != 0 || c[1] != 0 || c[2] != 0 {
			t.Errorf("after a reset: % x", c)
		}
	}
}

// next takes the next event from the guest's side.
func next(d *virtiotest.Driver) string {
	d.T.Helper()
	b := d.Queues[eventQueue].Submit(nil, 3, 9).Wait()
	if len(b) != eventSize {
		d.T.Fatalf("an event of %d bytes", len(b))
	}
	return fmt.Sprintf("%d:%d=%d", b[0], binary.LittleEndian.Uint16(b[2:]), int32(binary.LittleEndian.Uint32(b[4:])))
}

func expect(d *virtiotest.Driver, want string) {
	d.T.Helper()
	for _, w := range strings.Fields(want) {
		if got := next(d); got != w {
			d.T.Errorf("event %s, want %s", got, w)
		}
	}
}

func press(c input.Code) []input.Event {
	return []input.Event{{Type: input.TypeKey, Code: c, Value: 1}}
}
func release(c input.Code) []input.Event { return []input.Event{{Type: input.TypeKey, Code: c}} }

func TestEvents(t *testing.T) {
	dev := New(input.Keyboard, nil)
	d := virtiotest.New(t, dev)
	if dev.Frame(press(input.KeyA)); dev.Ready() || dev.Backlog() != 0 {
		t.Error("a device without a driver takes events")
	}
	d.Start(^uint64(0))
	dev.Frame(release(input.KeyA)) // whose press went elsewhere
	dev.Frame(press(input.KeyA))
	dev.Frame(press(input.KeyA))
	dev.Frame([]input.Event{{Type: input.TypeKey, Code: input.KeyA}, {Type: input.TypeRel, Code: input.RelY, Value: -3}})
	expect(d, "1:30=1 0:0=0 1:30=0 2:1=-3 0:0=0")
	waiting := d.Queues[eventQueue].Submit(nil, eventSize) // before there is something to say
	dev.Frame(press(input.KeyB))
	if got := waiting.Wait(); got[2] != byte(input.KeyB) {
		t.Errorf("% x", got)
	}
	expect(d, "0:0=0")
	d.Reset()
	if dev.Ready() {
		t.Error("ready after a reset")
	}
	d.Start(0)
	dev.Frame(release(input.KeyB))
	dev.Frame(press(input.KeyC))
	expect(d, "1:46=1 0:0=0")
	dev.Frame(press(input.KeyD))
	d.Queues[eventQueue].Submit(nil, eventSize-1)
	d.AwaitReset()
}

func TestLEDs(t *testing.T) {
	lit := make(chan input.LEDs, 100)
	d := virtiotest.New(t, New(input.Keyboard, func(l input.LEDs) { lit <- l }))
	d.Start(^uint64(0))
	send := func(kind, code byte, value uint32) {
		d.Queues[statusQueue].Submit([][]byte{binary.LittleEndian.AppendUint32([]byte{kind, 0, code, 0}, value)}).Wait()
	}
	send(typeLED, 1, 1)
	send(typeSync, 0, 0)
	send(typeLED, 0, 7)
	send(typeLED, 3, 1) // there is no such light
	send(1, 2, 1)
	d.Queues[statusQueue].Submit([][]byte{{typeLED, 0, 2}}).Wait() // too short
	d.Queues[statusQueue].Submit(nil, 8).Wait()
	send(typeLED, 1, 0)
	d.Reset()
	want := []input.LEDs{input.LEDCaps, input.LEDCaps | input.LEDNum, input.LEDNum, 0}
	for len(want) > 0 {
		if got := <-lit; got != 0 && got != want[0] {
			t.Errorf("lights %v, want %v", got, want[0])
		} else if got == want[0] {
			want = want[1:]
		}
	}
}

// TestOverflow has a guest that takes nothing while the user goes wild, and then all: no key may stay down that the user let go, nor up that
// he holds, and the pointer must be where he put it.
func TestOverflow(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		dev := New(input.Tablet, nil)
		d := virtiotest.New(t, dev)
		d.Start(^uint64(0))
		dev.Pause()
		held := map[input.Code]bool{}
		x := int32(0)
		for range 3 * maxWaiting {
			switch c := input.Keys()[r.IntN(40)]; r.IntN(3) {
			case 0:
				dev.Frame(press(c))
				held[c] = true
			case 1:
				dev.Frame(release(c))
				delete(held, c)
			default:
				x = r.Int32N(input.AbsMax)
				dev.Frame([]input.Event{{Type: input.TypeAbs, Code: input.AbsX, Value: x}, {Type: input.TypeAbs, Code: input.AbsY, Value: 1}})
			}
		}
		for c := range held {
			dev.Frame(release(c))
		}
		dev.Resume()
		down, presses, frame := map[string]bool{}, 0, 0
		for dev.Backlog() > 0 {
			e := next(d)
			code, value, _ := strings.Cut(e, "=")
			switch {
			case e == "0:0=0":
				if frame == 0 {
					t.Fatal("an empty frame")
				}
				frame = -1
			case value == "1" && strings.HasPrefix(e, "1:"):
				if down[code] {
					t.Fatalf("%s goes down twice", code)
				}
				down[code] = true
				presses++
			case strings.HasPrefix(e, "1:"):
				if !down[code] {
					t.Fatalf("%s goes up twice", code)
				}
				delete(down, code)
			}
			frame++
		}
		if len(down) > 0 || presses < 50 {
			t.Errorf("seed %d: %v stay down of %d pressed", seed, down, presses)
		}
	}
}

func TestMotionIsJoined(t *testing.T) {
	dev := New(input.Mouse, nil)
	d := virtiotest.New(t, dev)
	d.Start(^uint64(0))
	dev.Pause()
	for range 100 * maxWaiting {
		dev.Frame([]input.Event{{Type: input.TypeRel, Code: input.RelX, Value: 1}})
	}
	dev.Frame(press(input.ButtonLeft))
	dev.Frame(release(input.ButtonLeft))
	dev.Resume()
	sum, clicks := 0, 0
	for dev.Backlog() > 0 {
		var kind, code, value int
		if _, err := fmt.Sscanf(next(d), "%d:%d=%d", &kind, &code, &value); err != nil {
			t.Fatal(err)
		}
		switch kind {
		case int(input.TypeRel):
			sum += value
		case int(input.TypeKey):
			clicks++
		}
	}
	if sum != 100*maxWaiting || clicks != 2 {
		t.Errorf("moved by %d, %d clicks", sum, clicks)
	}
}

func TestSnapshotCycle(t *testing.T) {
	var dev *Device
	fresh := func() virtio.Device { dev = New(input.Keyboard, nil); return dev }
	virtiotest.SnapshotCycle(t, fresh, func(t *testing.T, d *virtiotest.Driver) {
		if d.Queues == nil {
			d.Start(^uint64(0))
		} else { // what was held is let go
			expect(d, "0:0=0 1:56=0 0:0=0")
		}
		dev.Frame(press(input.KeyA))
		dev.Frame(release(input.KeyA))
		dev.Frame(press(input.KeyLeftAlt))
		expect(d, "1:30=1 0:0=0 1:30=0 0:0=0 1:56=1")
	})
}

func TestRestoreRefuses(t *testing.T) {
	saved := func(change func(w *state.Writer)) []byte {
		var w state.Writer
		w.Version(stateName, stateVersion)
		change(&w)
		return w.Data()
	}
	for name, b := range map[string][]byte{
		"nothing": saved(func(w *state.Writer) {}),
		"many events": saved(func(w *state.Writer) {
			w.U8(0)
			w.U8(0)
			w.U8(0)
			w.U16(maxWaiting + 1)
			w.Bytes(make([]byte, 9*maxWaiting))
		}),
		"odd event": saved(func(w *state.Writer) {
			w.U8(0)
			w.U8(0)
			w.U8(0)
			w.U16(1)
			w.U16(9)
			w.U16(1)
			w.U32(1)
			w.U16(0)
		}),
		"odd light": saved(func(w *state.Writer) { w.U8(0); w.U8(0); w.U8(8); w.U16(0); w.U16(0) }),
		"odd key": saved(func(w *state.Writer) {
			w.U8(0)
			w.U8(0)
			w.U8(0)
			w.U16(0)
			w.U16(1)
			w.U16(0x300)
		}),
		"a key twice": saved(func(w *state.Writer) {
			w.U8(0)
			w.U8(0)
			w.U8(0)
			w.U16(0)
			w.U16(2)
			w.U16(5)
			w.U16(5)
		}),
		"many keys": saved(func(w *state.Writer) {
			w.U8(0)
			w.U8(0)
			w.U8(0)
			w.U16(0)
			w.U16(600)
			w.Bytes(make([]byte, 1200))
		}),
	} {
		if err := New(input.Mouse, nil).Restore(state.NewReader(b)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	dev := New(input.Tablet, nil)
	d := virtiotest.New(b, dev)
	d.Start(virtio.FeatureEventIdx)
	q := d.Queues[eventQueue]
	ring := q.Bare()
	for i := range uint16(3) {
		q.SetDescriptor(i, d.Alloc(eventSize), eventSize, 2, 0)
	}
	frame := []input.Event{{Type: input.TypeAbs, Code: input.AbsX, Value: 1}, {Type: input.TypeAbs, Code: input.AbsY, Value: 1}}
	b.ReportAllocs()
	for b.Loop() {
		for i := range uint16(3) {
			q.Offer(i)
		}
		ring.Kick()
		dev.Frame(frame)
		ring.Await(3)
	}
}
