package nic_test

import (
	"testing"

	"github.com/sharevm/vmm/devices/nic"
	"github.com/sharevm/vmm/devices/nic/nictest"
	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
)

// TestGates has frames pay at the gates of their direction, wait there when these are shut, and a stop not wait with them.
func TestGates(t *testing.T) {
	bucket := throttle.NewBucket(clock.Host, throttle.Rate{})
	in := &throttle.Gate{Operations: []*throttle.Bucket{bucket}}
	out := &throttle.Gate{Operations: []*throttle.Bucket{bucket}}
	l := linktest.New(0)
	s := &both{sender{frames: make(chan work, 64)}, receiver{frames: make(chan nic.Frame, 64)}}
	var err error
	if s.port, err = nic.NewPort(s, nic.Config{Name: "test", Link: l, In: in, Out: out}); err != nil {
		t.Fatal(err)
	}
	s.port.Start()
	frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 100))
	exchange := func() {
		s.send([][]byte{frame}, nic.Offload{})
		l.Deliver(network.Header{}, frame)
	}
	for range 5 {
		exchange()
		<-s.receiver.frames
	}
	l.Sent(5)
	for name, g := range map[string]*throttle.Gate{"in": in, "out": out} {
		if frames, bytes := g.Passed(); frames != 5 || bytes != int64(5*len(frame)) {
			t.Errorf("%s: %d frames of %d bytes have passed", name, frames, bytes)
		}
	}
	s.port.Stop()
	bucket.Set(throttle.Rate{PerSecond: 1, Burst: 1})
	bucket.Take(1 << 40)
	s.port.Start()
	exchange()
	s.port.Stop()
	if frames, _ := out.Passed(); frames != 5 || len(s.receiver.frames) != 0 {
		t.Error("a frame has passed a gate that is shut")
	}
	bucket.Set(throttle.Rate{})
	s.port.Start()
	l.Sent(6)
	<-s.receiver.frames
	if err := s.port.Close(); err != nil {
		t.Error(err)
	}
}

// both is a card of both directions.
type both struct {
	sender
	receiver
}

func (b *both) Transmit() bool            { return b.sender.Transmit() }
func (b *both) Flush()                    {}
func (b *both) Room() bool                { return true }
func (b *both) Receive(f *nic.Frame) bool { return b.receiver.Receive(f) }
func (b *both) LinkChanged()              {}
