package rng

import (
	"testing"

	"github.com/sharevm/vmm/virtio/virtiotest"
)

// FuzzRNG plays a guest against the device: whatever it does, the device answers or asks for a reset, and works after one.
func FuzzRNG(f *testing.F) {
	f.Add([]byte{})
	for op := range byte(22) {
		f.Add([]byte{3, 0, 0, op, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 1, 1, 0, op, 2, 2, 1, 1, 0, 0, 1})
	}
	lengths := []int{16, 1, 64, 4096, maxRequest, maxRequest + 1, 512}
	craft := func(s *virtiotest.Source, _ int) (out [][]byte, in []int) {
		if s.Byte() < 16 {
			out = [][]byte{s.Bytes(1 + s.Below(8))}
		}
		for range s.Below(4) {
			in = append(in, lengths[s.Below(len(lengths))])
		}
		return out, in
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		d := virtiotest.New(t, New())
		d.Play(program, virtiotest.Game{Craft: craft, Answers: func(*virtiotest.Driver, int) bool { return true }})
		if got := d.Queues[0].Submit(nil, 24).Wait(); len(got) != 24 {
			t.Errorf("%d bytes", len(got))
		}
	})
}
