package queue

import "testing"

// BenchmarkQueue is a request's way through the device's end: pop, push, and one publish and one look for more work per batch.
func BenchmarkQueue(b *testing.B) {
	for _, bench := range []struct {
		name     string
		batch    int
		options  []func(*Config)
		indirect bool
	}{
		{"event idx, one by one", 1, nil, false},
		{"event idx, batch 16", 16, nil, false},
		{"event idx, batch 16, indirect", 16, nil, true},
		{"flags, batch 16", 16, []func(*Config){noEventIdx}, false},
	} {
		b.Run(bench.name, func(b *testing.B) {
			r := newRing(b, 64, bench.options...)
			for i := range bench.batch {
				at := uint64(descAddr)
				first := 3 * i
				if bench.indirect {
					at, first = table+uint64(i)*48, 0
					r.desc(descAddr, 3*i, at, 48, descIndirect, 0)
				}
				r.desc(at, first, dataAddr, 16, descNext, uint16(first+1))
				r.desc(at, first+1, dataAddr+4096, 4096, descNext|descWrite, uint16(first+2))
				r.desc(at, first+2, dataAddr+8192, 1, descWrite, 0)
			}
			var c Chain
			b.ReportAllocs()
			for n := 0; n < b.N; n += bench.batch {
				for i := range bench.batch {
					r.offer(uint16(3 * i))
				}
				for range bench.batch {
					if ok, err := r.Pop(&c); !ok || err != nil {
						b.Fatal(ok, err)
					}
					r.Push(c.Head, 4097)
				}
				r.Publish()
				r.EnableNotifications()
			}
		})
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	r := newRing(t, 8)
	r.desc(descAddr, 0, dataAddr, 16, descNext, 1)
	r.desc(descAddr, 1, dataAddr, 16, descWrite, 0)
	var c Chain
	if n := testing.AllocsPerRun(100, func() {
		r.offer(0)
		if ok, _ := r.Pop(&c); !ok {
			t.Fatal("nothing to pop")
		}
		r.Push(c.Head, 1)
		r.Publish()
		r.EnableNotifications()
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
