package virtiotest

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/vmm/memory/shared"
	"github.com/sharevm/vmm/vmm/state"
)

// Source deals out the bytes of a fuzz input as decisions. When they are used up it deals zeroes.
type Source struct{ data []byte }

// Empty says whether all bytes have been dealt.
func (s *Source) Empty() bool { return len(s.data) == 0 }

// Bytes returns the next n bytes.
func (s *Source) Bytes(n int) []byte {
	p := make([]byte, n)
	s.data = s.data[copy(p, s.data):]
	return p
}

// Byte returns the next byte.
func (s *Source) Byte() byte { return s.Bytes(1)[0] }

// Uint16 returns the next two bytes as a number.
func (s *Source) Uint16() uint16 { return binary.LittleEndian.Uint16(s.Bytes(2)) }

// Uint32 returns the next four bytes as a number.
func (s *Source) Uint32() uint32 { return binary.LittleEndian.Uint32(s.Bytes(4)) }

// Uint64 returns the next eight bytes as a number.
func (s *Source) Uint64() uint64 { return binary.LittleEndian.Uint64(s.Bytes(8)) }

// Below returns a number from 0 to n-1 that one byte decides.
func (s *Source) Below(n int) int { return int(s.Byte()) % n }

// maxSteps bounds one play, and with it the fake RAM that it takes.
const maxSteps = 48

// Game tells Play what is special about a device.
type Game struct {
	// Craft makes a request for a queue, mostly a valid one: device-readable buffers, and the lengths of writable ones.
	Craft func(s *Source, queue int) (out [][]byte, in []int)
	// Answers says whether the device uses every chain of a queue at once, so that Play can wait for it.
	Answers func(d *Driver, queue int) bool
	// Between, if not nil, is called after each step, for what the host's side does.
	Between func(s *Source)
}

// Play drives a device the way a fuzzed guest would: crafted requests for the most part, and in between broken chains, registers and
// configuration written at random, resets with requests under way, pauses, snapshots, and memory that changes while the device reads it. It fails
// the test when the device neither answers a chain nor asks for a reset, or holds too much memory. Afterwards the device has been reset
// and started anew, and should work.
func (d *Driver) Play(program []byte, game Game) {
	d.T.Helper()
	s := &Source{program}
	start := func() {
		d.Start(^uint64(0) &^ (virtio.ReservedFeatures &^ (uint64(s.Below(4)) << 28)) &^ uint64(s.Byte()))
	}
	start()
	for range maxSteps {
		if s.Empty() {
			break
		}
		i := s.Below(len(d.Queues))
		switch q := d.Queues[i]; s.Below(22) {
		default:
			out, in := game.Craft(s, i)
			q.Indirect = s.Byte()&1 != 0
			if q.Add(out, in...) != nil {
				d.settle(q, game)
			}
		case 10:
			n := 1 + s.Below(4)
			for range n {
				q.SetDescriptor(uint16(s.Below(q.Size)), d.wildAddress(s), s.Uint32()>>s.Below(32), uint16(s.Below(8)), uint16(s.Below(q.Size+1)))
			}
			q.Offer(s.Uint16() >> s.Below(16))
			d.settle(q, game)
		case 11:
			q.SetAvailIndex(s.Uint16())
			d.settle(q, game)
		case 12:
			d.Write(d.regions[Common]+uint64(s.Below(0x40)), 1<<s.Below(4), s.Uint64())
			start() // whatever that has done to the queues
		case 13:
			size := 64
			d.Read(d.regions[Device]+uint64(s.Below(size)), 1<<s.Below(4))
			d.Write(d.regions[Device]+uint64(s.Below(size)), 1<<s.Below(4), s.Uint64())
		case 14:
			d.Transport.Pause()
			var w state.Writer
			d.Transport.Save(&w)
			d.Transport.Resume()
		case 15:
			start()
		case 16: // a reset with requests under way
			d.addSome(q, s, game)
			q.Notify()
			start()
		case 17:
			d.storm(s)
			start()
		case 18:
			d.addSome(q, s, game)
			d.race(q, s)
			start()
		case 19: // a snapshot with requests under way, restored in place
			d.addSome(q, s, game)
			q.Notify()
			if err := d.Restore(d.Save()); err != nil {
				d.T.Fatalf("a state that was just saved: %v", err)
			}
			d.settle(q, game)
		case 20: // requests that come during a pause
			d.Transport.Pause()
			d.addSome(q, s, game)
			q.Notify()
			d.Transport.Resume()
			d.settle(q, game)
		case 21: // configuration space and the vectors' table
			for range 1 + s.Below(4) {
				d.SetConfig(s.Below(256), 1<<s.Below(3), s.Uint64())
				d.Write(BARBase+0x4000+uint64(s.Below(128)), 1<<s.Below(4), s.Uint64())
				q.Notify()
			}
			d.Probe()
			start()
		}
		if game.Between != nil {
			game.Between(s)
		}
		if d.NeedsReset() {
			start()
		}
	}
	d.Start(^uint64(0) &^ virtio.ReservedFeatures)
	checkHeap(d.T)
}

// addSome makes a few requests available, without a kick.
func (d *Driver) addSome(q *Queue, s *Source, game Game) {
	for range 1 + s.Below(4) {
		out, in := game.Craft(s, q.Index)
		q.Add(out, in...)
	}
}

// storm writes registers of all kinds, rings doorbells and points descriptors anywhere, at the rings too. Nothing is waited for.
func (d *Driver) storm(s *Source) {
	for range 1 + s.Below(16) {
		q := d.Queues[s.Below(len(d.Queues))]
		switch s.Below(5) {
		case 0:
			d.Write(d.regions[Common]+uint64(s.Below(0x48)), 1<<s.Below(4), s.Uint64()>>s.Below(64))
		case 1:
			d.SetCommon(0x16, 2, uint64(q.Index)) // the registers of a queue in use
			d.Write(d.regions[Common]+0x18+uint64(s.Below(0x24)), 1<<s.Below(4), s.Uint64()>>s.Below(64))
		case 2:
			q.SetDescriptor(uint16(s.Below(q.Size)), q.Desc+uint64(s.Uint16()), s.Uint32()>>s.Below(32), uint16(s.Below(8)), uint16(s.Below(q.Size)))
			q.Offer(uint16(s.Below(q.Size)))
		case 3:
			d.Read(d.regions[ISR]+uint64(s.Below(8)), 1<<s.Below(4))
		}
		d.Ring(uint64(s.Below(64)), 1<<s.Below(4), uint64(s.Byte()))
	}
}

// race rings q's doorbell while another processor of the guest rewrites what the device reads: descriptors, available ring, and the
// requests themselves.
func (d *Driver) race(q *Queue, s *Source) {
	if raceDetector {
		return // which would be right, and not to the point
	}
	rng := rand.New(rand.NewPCG(s.Uint64(), 0))
	var targets [][]byte
	for _, r := range q.pending {
		for _, b := range r.Buffers {
			if b.Len > 0 {
				targets = append(targets, d.RAM(b.Addr, min(b.Len, 64)))
			}
		}
		if r.table != 0 {
			targets = append(targets, d.RAM(r.table, 16*len(r.Buffers)))
		}
	}
	targets = slices.DeleteFunc(append(targets, q.desc, q.avail), func(p []byte) bool { return len(p) == 0 })
	var stop atomic.Bool
	var racer sync.WaitGroup
	racer.Go(func() {
		for !stop.Load() {
			at := targets[rng.IntN(len(targets))]
			i := rng.IntN(len(at))
			old := at[i]
			at[i] = byte(rng.Uint32()) >> rng.IntN(8)
			if rng.IntN(4) > 0 {
				at[i] = old // mostly it is right again at once
			}
		}
	})
	for range 4 + s.Below(64) {
		q.Notify()
		d.Status()
	}
	stop.Store(true)
	racer.Wait()
}

// maxHeap is what all that a play leads to may keep on the heap, of the test itself too.
const maxHeap = 256 << 20

// checkHeap fails the test where more is in use.
func checkHeap(t testing.TB) {
	t.Helper()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Uint64() <= maxHeap {
		return
	}
	runtime.GC()
	if metrics.Read(sample); sample[0].Value.Uint64() > maxHeap {
		t.Fatalf("%d bytes are in use on the heap", sample[0].Value.Uint64())
	}
}

// wildAddress is mostly in RAM, and never where the rings lie: a guest that has its device overwrite them can't tell an answer.
func (d *Driver) wildAddress(s *Source) uint64 {
	if s.Byte() < 32 {
		return s.Uint64() | RAMSize
	}
	return RAMSize/2 + uint64(s.Uint32())%(RAMSize/2)
}

// settle kicks q and waits until the device has used all its chains or wants a reset, where one of the two must come.
func (d *Driver) settle(q *Queue, game Game) {
	d.T.Helper()
	q.Notify()
	if !game.Answers(d, q.Index) {
		return
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		at := shared.Load16(q.used, 2)
		if d.Features&virtio.FeatureEventIdx != 0 {
			shared.Store16(q.avail, 4+2*q.Size, at) // a full barrier follows
			at = shared.Load16(q.used, 2)
		}
		if at == q.availIdx || d.NeedsReset() {
			return
		}
		select {
		case <-d.Interrupts.Channel(uint32(q.Index + 1)):
		case <-d.Interrupts.Channel(ConfigVector):
		case <-timeout.C:
			d.T.Fatalf("queue %d: neither an answer nor a reset: status %#x, available %d, used %d", q.Index, d.Status(), q.availIdx, at)
		}
	}
}
