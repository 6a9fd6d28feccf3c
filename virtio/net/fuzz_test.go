package net_test

import (
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/virtio/net"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

// FuzzNet plays a guest against the card: whatever it does, the card answers or asks for a reset, and works after one.
func FuzzNet(f *testing.F) {
	f.Add([]byte{})
	for op := range byte(22) {
		f.Add([]byte{3, 0, op % 5, op, 3, 1, 2, 60, 0, 0, 0, 1, op, 4, 4, 1, 1, 0, 2, 0, 0, 0, 0, 0, 1})
	}
	lengths := []int{12, 1526, 2048, 11, 26, 60, 4096, 1}
	commands := [][]byte{
		{0, 0, 1}, {1, 0, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0}, {1, 1, 2, 0, 0, 0, 0, 1}, {3, 0},
		{4, 0, 2, 0}, {4, 0, 1, 0}, {5, 0, 1, 0, 0, 0, 0, 0, 0, 0}, {5, 0, 0x83, 1, 0, 0, 0, 0, 0, 0},
	}
	craft := func(s *virtiotest.Source, queue int) (out [][]byte, in []int) {
		switch {
		case queue == 4:
			c := commands[s.Below(len(commands))]
			if cut := s.Below(32); cut > 0 && cut < len(c) {
				return cuts(c, cut), []int{1}
			}
			return [][]byte{c}, []int{1 + s.Below(2)}
		case queue%2 == 0:
			for range 1 + s.Below(3) {
				in = append(in, lengths[s.Below(len(lengths))])
			}
			return nil, in
		}
		h := network.Header{Flags: s.Byte() & 3, GSOType: s.Byte() & 0x87, GSOSize: uint16(s.Byte()), CsumStart: uint16(s.Byte()), CsumOffset: uint16(s.Byte())}
		b := make([]byte, network.HeaderLen)
		h.Encode(b)
		return [][]byte{b, make([]byte, lengths[s.Below(len(lengths))])}, nil
	}
	answers := func(d *virtiotest.Driver, queue int) bool {
		pairs := 1
		if d.Features&featureMQ != 0 {
			pairs = 2
		}
		// A receive queue answers when it likes, one of a pair that is not in use never.
		return queue == 1 || queue == 2*pairs && d.Features&featureCtrlQueue != 0
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		links := []*linktest.Link{linktest.New(tso), linktest.New(tso)}
		device := newDevice(t, net.Config{Links: []network.Link{links[0], links[1]}, QueueSize: 32})
		d := virtiotest.New(t, device)
		d.Play(program, virtiotest.Game{Craft: craft, Answers: answers, Between: func(s *virtiotest.Source) {
			switch n := s.Byte(); {
			case n < 160:
				links[n%2].DeliverWhole(frame(n, 14+int(n)*13))
			case n < 170:
				device.SetLink(n%2 == 0)
			case n < 175:
				device.Announce()
			}
		}})
		device.SetLink(true)
		for _, l := range links {
			l.Withdraw()
		}
		d.Start(allFeatures &^ featureMergeable)
		d.Queues[1].Submit([][]byte{frame(1, 60)}).Wait()
		r := d.Queues[0].Submit(nil, 1526)
		links[0].DeliverWhole(frame(2, 60))
		if n := binary.LittleEndian.Uint16(r.Wait()[10:]); n != 1 {
			t.Errorf("num_buffers %d", n)
		}
	})
}
