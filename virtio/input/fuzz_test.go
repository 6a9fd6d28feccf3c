package input

import (
	"testing"

	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

// FuzzInput plays a guest and a user against the device: it takes any access and any state, and works after a reset.
func FuzzInput(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3, 0, 0, 0, 1, 1, 2, 0, 30, 1, 7, 0, 4, 1, 1, 0, 1, 17, 0, 1, 0, 1, 14, 0, 0, 12, 1, 1})
	craft := func(s *virtiotest.Source, index int) (out [][]byte, in []int) {
		if index == eventQueue {
			for range 1 + s.Below(3) {
				in = append(in, 1+s.Below(16))
			}
			return nil, in
		}
		return [][]byte{{byte(s.Below(2) * typeLED), 0, byte(s.Below(5)), 0, s.Byte(), 0, 0, 0}}, nil
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		dev := New(input.Class(len(program)%3), func(input.LEDs) {})
		d := virtiotest.New(t, dev)
		d.Play(program, virtiotest.Game{
			Craft:   craft,
			Answers: func(_ *virtiotest.Driver, queue int) bool { return queue == statusQueue },
			Between: func(s *virtiotest.Source) {
				frame := make([]input.Event, s.Below(4))
				for i := range frame {
					frame[i] = input.Event{Type: input.Type(1 + s.Below(3)), Code: input.Code(s.Uint16()), Value: int32(s.Byte()) - 1}
				}
				for range 1 + 200*s.Below(4) {
					dev.Frame(frame)
				}
			},
		})
		dev.Frame(press(input.KeyA))
		expect(d, "1:30=1 0:0=0")
	})
}
