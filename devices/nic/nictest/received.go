package nictest

import (
	"testing"

	"github.com/sharevm/vmm/devices/nic"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
)

// Received returns the frame as a port hands it to its card.
func Received(t testing.TB, frame []byte) *nic.Frame {
	t.Helper()
	l := linktest.New(0)
	k := keeper{make(chan *nic.Frame)}
	p, err := nic.NewPort(k, nic.Config{Name: "keeper", Link: l})
	if err != nil {
		t.Fatal(err)
	}
	p.Start()
	l.Deliver(network.Header{}, frame)
	f := <-k.frames
	if err := p.Close(); err != nil { // which leaves the frame to us
		t.Fatal(err)
	}
	return f
}

// keeper is a card that keeps a frame.
type keeper struct{ frames chan *nic.Frame }

func (keeper) Transmit() bool { return false }
func (keeper) Flush()         {}
func (keeper) Room() bool     { return true }
func (keeper) LinkChanged()   {}
func (k keeper) Receive(f *nic.Frame) bool {
	k.frames <- f
	return true
}
