package queue

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/sharevm/vmm/vmm/event"
	"github.com/sharevm/vmm/vmm/memory/memorytest"
	"github.com/sharevm/vmm/vmm/memory/shared"
)

// TestNoLostWakeups runs a driver against a device, each sleeping whenever it may. A missing barrier in either direction shows as a
// deadlock; data is checked on the way.
func TestNoLostWakeups(t *testing.T) {
	for name, options := range map[string][]func(*Config){"event idx": nil, "flags": {noEventIdx}} {
		t.Run(name, func(t *testing.T) {
			const total = 50_000
			irq, err := event.New()
			if err != nil {
				t.Fatal(err)
			}
			defer irq.Close()
			r := newRing(t, 4, append(options, func(c *Config) { c.Interrupt = irq.Signal })...)
			eventIdx := options == nil
			var both sync.WaitGroup
			both.Go(func() { // the device adds one to each number
				var c Chain
				for done := 0; done < total; {
					ok, err := r.Pop(&c)
					if err != nil {
						t.Error(err)
						return
					}
					if ok {
						var b [4]byte
						c.CopyIn(b[:])
						binary.LittleEndian.PutUint32(b[:], binary.LittleEndian.Uint32(b[:])+1)
						r.Push(c.Head, uint32(c.CopyOut(b[:])))
						done++
						continue
					}
					r.Publish()
					if !r.EnableNotifications() {
						if err := r.Kick.Wait(); err != nil {
							t.Error(err)
							return
						}
					}
				}
				r.Publish()
			})
			both.Go(func() { driveNumbers(t, r, irq, eventIdx, total) })
			both.Wait()
		})
	}
}

// driveNumbers sends numbers two chains deep and checks the answers.
func driveNumbers(t *testing.T, r *ring, irq *event.Event, eventIdx bool, total int) {
	used := func() int { return int(r.usedIdx()) }
	for sent, got := 0, 0; got < total; {
		first := sent
		for sent < total && sent-got < 2 {
			slot := sent % 2
			at := uint64(dataAddr + 64*slot)
			binary.LittleEndian.PutUint32(r.low[at:], uint32(sent))
			r.desc(descAddr, 2*slot, at, 4, descNext, uint16(2*slot+1))
			r.desc(descAddr, 2*slot+1, at+8, 4, descWrite, 0)
			r.offer(uint16(2 * slot))
			sent++
		}
		if sent != first {
			notify := shared.Load16(r.low, usedAddr) == 0
			if eventIdx {
				notify = uint16(sent)-r.availEvent()-1 < uint16(sent-first)
			}
			if notify {
				r.Kick.Signal()
			}
		}
		if used() == got&0xffff {
			if eventIdx {
				r.setUsedEvent(uint16(got))
			}
			if used() == got&0xffff {
				if err := irq.Wait(); err != nil {
					t.Error(err)
					return
				}
			}
		}
		for used() != got&0xffff {
			id, n := r.usedElem(uint16(got))
			answer := binary.LittleEndian.Uint32(r.low[dataAddr+64*(id/2)+8:])
			if n != 4 || answer != uint32(got)+1 {
				t.Errorf("chain %d: %d bytes, %d", got, n, answer)
				return
			}
			got++
		}
	}
}

// TestRacingWriter pops while another processor rewrites the descriptors under the walker. Each descriptor is judged in the one copy that
// was taken of it, so whatever comes out is sound.
func TestRacingWriter(t *testing.T) {
	r := newRing(t, 8)
	lengths := []uint32{0, 16, 32, lowSize, 0xffffffff}
	flags := []uint32{0, descNext | 1<<16, descWrite, descIndirect, descNext | descWrite | 2<<16, descNext | 0xffff<<16}
	stop := memorytest.Beside(t, func(i int) {
		at := descAddr + 16*(i%8)
		shared.Store32(r.low, at, uint32(descAddr+i%3*8))
		shared.Store32(r.low, at+4, uint32(i/7%2)<<31)
		shared.Store32(r.low, at+8, lengths[i%len(lengths)])
		shared.Store32(r.low, at+12, flags[i/3%len(flags)])
	})
	var c Chain
	sound := 0
	for range 100_000 {
		r.offer(0)
		ok, err := r.Pop(&c)
		switch {
		case err != nil:
			r.broken.Store(nil)
			r.nextAvail++
		case ok:
			sound++
			for _, b := range c.buffers {
				if len(b) == 0 || len(b) > lowSize {
					t.Fatalf("a buffer of %d bytes", len(b))
				}
			}
		}
	}
	stop()
	t.Logf("%d chains were sound", sound)
}
