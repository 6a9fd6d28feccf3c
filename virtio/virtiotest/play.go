package virtiotest

import (
	"encoding/binary"
	"time"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/internal/shared"
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
// configuration written at random, resets, pauses, and snapshots of the device. It fails the test when the device neither answers a
// chain nor asks for a reset. Afterwards the device has been reset and started anew, and should work.
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
		switch q := d.Queues[i]; s.Below(16) {
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
		}
		if game.Between != nil {
			game.Between(s)
		}
		if d.NeedsReset() {
			start()
		}
	}
	d.Start(^uint64(0) &^ virtio.ReservedFeatures)
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
