package e1000

import (
	"testing"
	"time"

	"github.com/sharevm/vmm/devices/nic/nictest"
	"github.com/sharevm/vmm/network"
)

// TestNoInterruptIsLost plays a driver that polls after each interrupt until there is nothing left, and only then unmasks the next, as
// drivers do under load. A lost interrupt shows as a frame that nobody fetches.
func TestNoInterruptIsLost(t *testing.T) {
	const frames = 20000
	frame := nictest.Frame(station, nictest.Kind{}, make([]byte, 50))
	deliver := func(d *driver) {
		for range frames {
			d.link.Deliver(network.Header{}, frame)
		}
	}
	// poll fetches what there is.
	poll := func(d *driver) (n int) {
		for {
			at := rxRing + uint64(d.rxNext)*descriptorSize
			d.dev.mu.Lock()
			done := d.Host[at+12]&statusDone != 0
			if done {
				d.rxDescriptor(uint64(d.rxNext))
			}
			d.dev.mu.Unlock()
			if !done {
				return n
			}
			d.rxNext = (d.rxNext + 1) % entries
			d.put(regRX+qTail, (d.rxNext+entries-1)%entries)
			n++
		}
	}
	for _, interval := range []uint32{0, 5, 50, 488} {
		t.Run("MSI-X", func(t *testing.T) {
			d := newDriver(t, Model82574L)
			at := d.capability(0x11)
			for i := range uint64(msixVectors) {
				d.Write(3, i*16, 8, 0xfee00000)
				d.Write(3, i*16+8, 8, 100+i)
			}
			d.SetConfig(at+2, 2, 0x8000)
			d.start(0)
			d.put(regIVAR, 8|9<<8|10<<16)
			d.put(regCTRLEXT, extEIAME)
			d.put(regIAM, 0xffffffff)
			d.put(regEIAC, icrRXQ0|icrTXQ0)
			d.put(regEITR, interval)
			d.put(regIMS, icrRXQ0|icrTXQ0|icrOther|icrLSC)
			go deliver(d)
			for n := 0; n < frames; {
				select {
				case <-d.msi.Channel(100):
				case <-time.After(10 * time.Second):
					t.Fatalf("after %d frames: causes %#x, mask %#x, signalled %#x", n, d.get(regICS), d.get(regIMS), d.dev.signalled)
				}
				n += poll(d)
				d.put(regIMS, icrRXQ0)
			}
		})
		t.Run("INTx", func(t *testing.T) {
			d := newDriver(t, Model82545EM)
			d.start(0)
			d.put(regITR, interval)
			d.put(regIMS, icrRXT0|icrLSC|icrTXDW)
			go deliver(d)
			for n := 0; n < frames; {
				d.AwaitLine(true)
				if d.get(regICR) == 0 {
					t.Fatal("no cause")
				}
				d.put(regIMC, 0xffffffff)
				n += poll(d)
				d.put(regIMS, icrRXT0|icrLSC|icrTXDW)
			}
		})
	}
}
