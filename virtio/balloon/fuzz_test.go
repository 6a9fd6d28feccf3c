package balloon

import (
	"testing"

	"github.com/sharevm/vmm/virtio/virtiotest"
)

// FuzzBalloon plays a guest against the device: whatever it names, the device answers or asks for a reset, and works after one.
func FuzzBalloon(f *testing.F) {
	f.Add([]byte{})
	for q := range byte(queueCount) {
		f.Add([]byte{3, 0, q, 0, 2, 3, 7, 0, 4, 1, 1, 0, q, 1, 1, 200, 0, 0, 0, q, 14, q, 0, 0, q, 12, 1, 1})
	}
	craft := func(s *virtiotest.Source, index int) (out [][]byte, in []int) {
		for range s.Below(4) {
			switch index {
			case inflateQueue, deflateQueue:
				var list []byte
				page := uint32(s.Uint16()) % (virtiotest.RAMSize / pageSize)
				if s.Byte() < 16 {
					page = s.Uint32()
				}
				page |= virtiotest.RAMSize / pageSize / 2 // the rings lie below
				for i := range uint32(s.Below(80)) {
					list = append(list, numbers(page+i*uint32(1+s.Byte()&1))...)
				}
				out = append(out, append(list, s.Bytes(1+s.Below(3))...))
			case statsQueue:
				out = append(out, append(statistic(uint16(s.Below(20)), s.Uint64()), 0)[:1+s.Below(11)])
			default:
				in = append(in, []int{1, pageSize, 2 * pageSize, 16 * pageSize}[s.Below(4)])
			}
		}
		return out, in
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		dev := New(func([]byte) error { return nil })
		d := virtiotest.New(t, dev)
		d.Play(program, virtiotest.Game{
			Craft:   craft,
			Answers: func(_ *virtiotest.Driver, queue int) bool { return queue < statsQueue },
			Between: func(s *virtiotest.Source) {
				switch s.Below(4) {
				case 0:
					dev.SetTarget(s.Uint64())
				case 1:
					dev.RequestStats()
				}
			},
		})
		d.Queues[inflateQueue].Submit([][]byte{numbers(0x3000)}).Wait()
		d.Queues[4].Submit(nil, pageSize).Wait()
	})
}
