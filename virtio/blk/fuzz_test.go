package blk_test

import (
	"testing"

	"github.com/sharevm/vmm/virtio/blk"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

// FuzzBlk plays a guest against the device: whatever it does, the device answers or asks for a reset, and works after one.
func FuzzBlk(f *testing.F) {
	f.Add([]byte{})
	for op := range byte(22) {
		f.Add([]byte{3, 0, 0, op, op % 6, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 1, 1, 0, op, 2, 2, 1, 1, 0, 0, 1})
	}
	image := &vectorImage{Image: newImage(64 << 10)}
	kinds := []uint32{typeIn, typeOut, typeFlush, typeGetID, typeDiscard, typeZeroes, 16, 1 << 31}
	lengths := []int{512, 1, 1024, 20, 4096, 513}
	craft := func(s *virtiotest.Source, _ int) (out [][]byte, in []int) {
		kind := kinds[s.Below(len(kinds))]
		h := header(kind, uint64(s.Uint16())>>s.Below(16))
		if s.Byte() < 16 {
			h = header(kind, s.Uint64())
		}
		for range s.Below(4) {
			switch kind {
			case typeOut:
				h = append(h, make([]byte, lengths[s.Below(len(lengths))])...)
			case typeDiscard, typeZeroes:
				h = append(h, zeroRange(uint64(s.Byte()), uint32(s.Byte()), uint32(s.Below(3)))...)
			default:
				in = append(in, lengths[s.Below(len(lengths))])
			}
		}
		out = [][]byte{h}
		if cut := s.Below(32); cut > 0 && cut < len(h) {
			out = cuts(h, cut)
		}
		if s.Byte() < 250 {
			in = append(in, 1)
		}
		return out, in
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		d := virtiotest.New(t, newDevice(t, blk.Config{Image: image, Queues: 2, QueueSize: 32}))
		d.Play(program, virtiotest.Game{Craft: craft, Answers: func(*virtiotest.Driver, int) bool { return true }})
		for _, q := range d.Queues {
			if s := status(q.Submit([][]byte{header(typeIn, 3)}, sector, 1)); s != statusOK {
				t.Errorf("queue %d: status %d", q.Index, s)
			}
		}
	})
}
