package net_test

import (
	"os"
	"testing"
	"time"

	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

// nullLink swallows frames, and delivers one for each token.
type nullLink struct {
	tokens chan int
	stop   chan struct{}
}

func (nullLink) WriteFrame([][]byte) error               { return nil }
func (nullLink) Offloads() network.Offloads              { return tso }
func (nullLink) SetGuestOffloads(network.Offloads) error { return nil }
func (nullLink) Close() error                            { return nil }

func (l nullLink) ReadFrame([][]byte) (int, error) {
	select {
	case n := <-l.tokens:
		return n, nil
	case <-l.stop:
		return 0, os.ErrDeadlineExceeded
	}
}

func (l nullLink) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		close(l.stop)
	}
	return nil
}

// BenchmarkTransmit is the way of 32 frames of 1514 bytes from the guest's ring to the link and back into the used ring.
func BenchmarkTransmit(b *testing.B) {
	const frames = 32
	d, _ := start(b, virtio.FeatureEventIdx, nullLink{nil, make(chan struct{})})
	q := d.Queues[1]
	ring := q.Bare()
	for i := range uint16(frames) {
		q.SetDescriptor(2*i, d.Alloc(12), 12, virtiotest.FlagNext, 2*i+1)
		q.SetDescriptor(2*i+1, d.Alloc(1514), 1514, 0, 0)
	}
	b.ReportAllocs()
	for b.Loop() {
		for i := range uint16(frames) {
			q.Offer(2 * i)
		}
		ring.Kick()
		ring.Await(frames)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*frames), "ns/frame")
}

// BenchmarkReceive is the way of 32 frames from the link into mergeable buffers and the used ring.
func BenchmarkReceive(b *testing.B) {
	for _, kind := range []struct {
		name          string
		length, takes int
	}{{"1514 bytes", 1526, 1}, {"64 KiB", 65000, 43}} {
		b.Run(kind.name, func(b *testing.B) {
			const frames, buffers = 32, 256
			link := nullLink{make(chan int, frames), make(chan struct{})}
			d, _ := start(b, virtio.FeatureEventIdx|featureMergeable|featureGuestCsum|featureGuestTSO4|featureChecksum, link)
			q := d.Queues[0]
			ring := q.Bare()
			for i := range uint16(buffers) {
				q.SetDescriptor(i, d.Alloc(1536), 1536, virtiotest.FlagWrite, 0)
				q.Offer(i)
			}
			ring.Kick()
			next := uint16(0)
			b.ReportAllocs()
			for b.Loop() {
				for range frames {
					link.tokens <- kind.length
					if kind.takes > 1 {
						ring.Await(kind.takes)
						for range kind.takes {
							q.Offer(next % buffers)
							next++
						}
						ring.Kick()
					}
				}
				if kind.takes == 1 {
					ring.Await(frames)
					for range frames {
						q.Offer(next % buffers)
						next++
					}
					ring.Kick()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*frames), "ns/frame")
		})
	}
}
