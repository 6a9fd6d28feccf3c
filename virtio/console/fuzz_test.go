package console_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/sharevm/vmm/virtio/console"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

// FuzzConsole plays a guest against the device: whatever it does, the device answers or asks for a reset, and works after one.
func FuzzConsole(f *testing.F) {
	f.Add([]byte{})
	for op := range byte(22) {
		f.Add([]byte{3, 0, op % 6, op, 3, 0, 0, 1, 1, 0, op, 3, op, 3, 1, 3, 1, 1, 0, 2, 0, 0, 0, 0, 0, 1})
	}
	craft := func(s *virtiotest.Source, queue int) (out [][]byte, in []int) {
		switch {
		case queue == 3:
			m := binary.LittleEndian.AppendUint32(nil, uint32(s.Below(3)))
			m = binary.LittleEndian.AppendUint16(m, uint16(s.Below(9)))
			m = binary.LittleEndian.AppendUint16(m, uint16(s.Below(3)))
			return [][]byte{m[:8-s.Byte()/250]}, nil
		case queue%2 == 0:
			return nil, []int{1 + s.Below(8)*20, 1 + s.Below(2)*100}
		}
		return [][]byte{make([]byte, 1+int(s.Uint16())), {s.Byte()}}, nil
	}
	answers := func(d *virtiotest.Driver, queue int) bool {
		return queue == 1 || d.Features&featureMultiport != 0 && queue%2 == 1
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		in, host := io.Pipe()
		defer host.Close()
		out := newSink()
		device := newDevice(t, console.Config{Ports: []console.PortConfig{{Console: true, Out: out}, {Name: "agent", In: in, Out: io.Discard}}})
		d := virtiotest.New(t, device)
		d.Play(program, virtiotest.Game{Craft: craft, Answers: answers, Between: func(s *virtiotest.Source) {
			switch n := s.Byte(); {
			case n < 32:
				device.Resize(uint16(n), uint16(s.Byte()))
			case n < 64:
				device.SetOpen(int(n)%2, s.Byte()%2 == 0)
			}
		}})
		d.Queues[1].Submit([][]byte{[]byte("alive")}).Wait()
		out.mu.Lock()
		defer out.mu.Unlock()
		for !bytes.HasSuffix(out.got, []byte("alive")) { // behind what the play has written
			out.changed.Wait()
		}
	})
}
