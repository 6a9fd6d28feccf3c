package limits

import (
	"sync"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/throttle"
)

// Set is the limits of one machine, in force.
type Set struct {
	clock clock.Clock
	cpu   *CPU

	ops, readOps, writeOps       *throttle.Bucket
	bytes, readBytes, writeBytes *throttle.Bucket
	in, out                      *throttle.Bucket

	mu  sync.Mutex // held while limits change
	now config.Limits
}

// New puts disk and network limits in force. Those of processors follow with the first Apply, or with Start.
func New(c clock.Clock, l config.Limits, cpu *CPU) *Set {
	bucket := func(r throttle.Rate) *throttle.Bucket { return throttle.NewBucket(c, r) }
	return &Set{
		clock: c, cpu: cpu, now: l,
		ops: bucket(l.DiskOps), readOps: bucket(l.DiskReadOps), writeOps: bucket(l.DiskWriteOps),
		bytes: bucket(l.DiskBytes), readBytes: bucket(l.DiskReadBytes), writeBytes: bucket(l.DiskWriteBytes),
		in: bucket(l.NetIn), out: bucket(l.NetOut),
	}
}

// Disk is the gates of one disk, which may have limits of its own.
func (s *Set) Disk(d *config.Disk) (reads, writes *throttle.Gate) {
	own := []*throttle.Bucket{
		throttle.NewBucket(s.clock, throttle.Rate{PerSecond: d.OpsCap}), throttle.NewBucket(s.clock, throttle.Rate{PerSecond: d.BytesCap}),
	}
	gate := func(ops, bytes *throttle.Bucket) *throttle.Gate {
		g := &throttle.Gate{Operations: []*throttle.Bucket{s.ops, ops}, Bytes: []*throttle.Bucket{s.bytes, bytes}}
		if d.OpsCap > 0 {
			g.Operations = append(g.Operations, own[0])
		}
		if d.BytesCap > 0 {
			g.Bytes = append(g.Bytes, own[1])
		}
		return g
	}
	return gate(s.readOps, s.readBytes), gate(s.writeOps, s.writeBytes)
}

// Network is the gates of one card.
func (s *Set) Network() (in, out *throttle.Gate) {
	return &throttle.Gate{Bytes: []*throttle.Bucket{s.in}}, &throttle.Gate{Bytes: []*throttle.Bucket{s.out}}
}

// Limits are those in force.
func (s *Set) Limits() config.Limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Apply puts other limits in force, at once. After an error, which says what of the processors could not be limited, the others are in force.
func (s *Set) Apply(l config.Limits) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range []struct {
		bucket *throttle.Bucket
		rate   throttle.Rate
	}{
		{s.ops, l.DiskOps}, {s.readOps, l.DiskReadOps}, {s.writeOps, l.DiskWriteOps},
		{s.bytes, l.DiskBytes}, {s.readBytes, l.DiskReadBytes}, {s.writeBytes, l.DiskWriteBytes},
		{s.in, l.NetIn}, {s.out, l.NetOut},
	} {
		if c.bucket.Rate() != c.rate { // a full bucket is the gift of a change alone
			c.bucket.Set(c.rate)
		}
	}
	err := s.cpu.Apply(l.CPUShares, l.CPUQuota)
	if err != nil {
		l.CPUShares, l.CPUQuota = s.cpu.InForce()
	}
	s.now = l
	return err
}
