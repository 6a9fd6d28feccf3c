package queue

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/sharevm/vmm/vmm/memory"
)

// table is where tests put an indirect table.
const table = 0x20000

func TestPopChain(t *testing.T) {
	r := newRing(t, 8)
	copy(r.low[dataAddr:], "header--payload")
	r.desc(descAddr, 5, dataAddr, 8, descNext, 2)
	r.desc(descAddr, 2, dataAddr+8, 7, descNext, 7)
	r.desc(descAddr, 7, dataAddr+0x100, 512, descNext|descWrite, 1)
	r.desc(descAddr, 1, highBase, 1, descWrite, 0xffff)
	r.offer(5)
	var c Chain
	if ok, err := r.Pop(&c); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if c.Head != 5 || len(c.Readable) != 2 || len(c.Writable) != 2 || c.ReadLen != 15 || c.WriteLen != 513 {
		t.Fatalf("%+v", c)
	}
	header := make([]byte, 10) // crosses a buffer
	if n := c.CopyIn(header); n != 10 || string(header) != "header--pa" || c.ReadLen != 5 || string(c.Readable[0]) != "yload" {
		t.Fatalf("copied %d %q, left %q", n, header, c.Readable)
	}
	status := c.TakeLastByte()
	if len(status) != 1 || c.WriteLen != 512 || len(c.Writable) != 1 {
		t.Fatalf("status %v, %+v", status, c)
	}
	if n := c.CopyOut(bytes.Repeat([]byte{7}, 600)); n != 512 || c.WriteLen != 0 || len(c.Writable) != 0 || r.low[dataAddr+0x100+511] != 7 {
		t.Fatalf("copied out %d, %+v", n, c)
	}
	if c.TakeLastByte() != nil {
		t.Fatal("a byte of nothing")
	}
	if ok, err := r.Pop(&c); ok || err != nil {
		t.Fatal(ok, err)
	}
}

func TestPopIndirect(t *testing.T) {
	for _, at := range []uint64{table, table + 4, table + 1} { // any alignment is allowed
		r := newRing(t, 4)
		r.desc(at, 0, dataAddr, 16, descNext, 2)
		r.desc(at, 2, dataAddr+16, 32, descNext|descWrite, 1)
		r.desc(at, 1, dataAddr+64, 64, descWrite, 0)
		r.desc(descAddr, 0, dataAddr+512, 4, descNext, 3) // direct ones may come first (2.7.5.3.2)
		r.desc(descAddr, 3, at, 3*16, descIndirect|descWrite, 0)
		r.offer(0)
		var c Chain
		if ok, err := r.Pop(&c); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if c.ReadLen != 20 || c.WriteLen != 96 || len(c.Readable) != 2 || len(c.Writable) != 2 {
			t.Fatalf("table at %#x: %+v", at, c)
		}
	}
}

// TestLongestChain holds that a chain of MaxSegments passes, through an indirect table larger than the queue.
func TestLongestChain(t *testing.T) {
	for n, want := range map[int]bool{MaxSegments: true, MaxSegments + 1: false} {
		r := newRing(t, 4)
		for i := range n {
			r.desc(table, i, dataAddr, 1, descNext, uint16(i+1))
		}
		r.desc(table, n-1, dataAddr, 1, 0, 0)
		r.desc(descAddr, 0, table, uint32(n)*16, descIndirect, 0)
		r.offer(0)
		var c Chain
		ok, err := r.Pop(&c)
		if ok != want || (err == nil) != want || (want && c.ReadLen != MaxSegments) {
			t.Fatalf("%d segments: %v %v", n, ok, err)
		}
	}
}

// TestHostileChains are the classes of attack on a descriptor walker.
func TestHostileChains(t *testing.T) {
	const lastLow, lastHigh = lowSize - 1, highBase + highSize - 1
	for _, test := range []struct {
		name  string
		build func(*ring)
		want  string // part of the message; empty where the chain is sound
	}{
		{"self loop", func(r *ring) { r.desc(descAddr, 0, dataAddr, 1, descNext, 0) }, "loop"},
		{"loop of two", func(r *ring) {
			r.desc(descAddr, 0, dataAddr, 1, descNext, 1)
			r.desc(descAddr, 1, dataAddr, 1, descNext, 0)
		}, "loop"},
		{"loop at the end of a full table", func(r *ring) {
			for i := range 8 {
				r.desc(descAddr, i, dataAddr, 1, descNext, uint16(i+1))
			}
			r.desc(descAddr, 7, dataAddr, 1, descNext, 0)
		}, "loop"},
		{"full table", func(r *ring) {
			for i := range 8 {
				r.desc(descAddr, i, dataAddr, 1, descNext, uint16(i+1))
			}
			r.desc(descAddr, 7, dataAddr, 1, 0, 0)
		}, ""},
		{"loop in an indirect table", func(r *ring) {
			r.desc(table, 0, dataAddr, 1, descNext, 1)
			r.desc(table, 1, dataAddr, 1, descNext, 0)
			r.desc(descAddr, 0, table, 32, descIndirect, 0)
		}, "loop"},
		{"next outside the table", func(r *ring) { r.desc(descAddr, 0, dataAddr, 1, descNext, 8) }, "descriptor 8 in a table of 8"},
		{"next outside an indirect table", func(r *ring) {
			r.desc(table, 0, dataAddr, 1, descNext, 2)
			r.desc(descAddr, 0, table, 32, descIndirect, 0)
		}, "descriptor 2 in a table of 2"},
		{"readable after writable", func(r *ring) {
			r.desc(descAddr, 0, dataAddr, 1, descNext|descWrite, 1)
			r.desc(descAddr, 1, dataAddr, 1, 0, 0)
		}, "device-readable after"},
		{"zero length", func(r *ring) { r.desc(descAddr, 0, dataAddr, 0, 0, 0) }, "no length"},
		{"last byte of low RAM", func(r *ring) { r.desc(descAddr, 0, lastLow, 1, descWrite, 0) }, ""},
		{"past low RAM", func(r *ring) { r.desc(descAddr, 0, lastLow, 2, descWrite, 0) }, "outside"},
		{"last byte of high RAM", func(r *ring) { r.desc(descAddr, 0, lastHigh, 1, 0, 0) }, ""},
		{"past high RAM", func(r *ring) { r.desc(descAddr, 0, lastHigh, 2, 0, 0) }, "outside"},
		{"in the hole", func(r *ring) { r.desc(descAddr, 0, lowSize, 1, 0, 0) }, "outside"},
		{"across the hole", func(r *ring) { r.desc(descAddr, 0, lastLow, 0xffffffff, 0, 0) }, "outside"},
		{"address and length overflow", func(r *ring) { r.desc(descAddr, 0, ^uint64(0), 2, 0, 0) }, "outside"},
		{"address and length overflow to zero", func(r *ring) { r.desc(descAddr, 0, ^uint64(0)-15, 16, 0, 0) }, "outside"},
		{"indirect in indirect", func(r *ring) {
			r.desc(table, 0, table, 16, descIndirect, 0)
			r.desc(descAddr, 0, table, 16, descIndirect, 0)
		}, "indirect table"},
		{"indirect with next", func(r *ring) { r.desc(descAddr, 0, table, 16, descIndirect|descNext, 1) }, "with a next"},
		{"empty indirect table", func(r *ring) { r.desc(descAddr, 0, table, 0, descIndirect, 0) }, "table of 0 bytes"},
		{"ragged indirect table", func(r *ring) { r.desc(descAddr, 0, table, 24, descIndirect, 0) }, "table of 24 bytes"},
		{"huge indirect table", func(r *ring) { r.desc(descAddr, 0, 0, 0xfffffff0, descIndirect, 0) }, "bytes"},
		{"indirect table outside RAM", func(r *ring) { r.desc(descAddr, 0, lastLow-14, 16, descIndirect, 0) }, "outside"},
		{"indirect table of an overflowing address", func(r *ring) { r.desc(descAddr, 0, ^uint64(0)-7, 16, descIndirect, 0) }, "outside"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRing(t, 8)
			test.build(r)
			r.offer(0)
			var c Chain
			ok, err := r.Pop(&c)
			if test.want == "" {
				if !ok || err != nil {
					t.Fatal(ok, err)
				}
				return
			}
			var broken *Error
			if ok || !errors.As(err, &broken) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("popped %v, error %v, want one with %q", ok, err, test.want)
			}
			if again, err2 := r.Pop(&c); again || err2 == nil {
				t.Fatal("a broken chain was handed out later")
			}
			if r.Err() == nil || !r.EnableNotifications() {
				t.Fatal("the queue does not know that it is broken")
			}
		})
	}
}

func TestBrokenRings(t *testing.T) {
	t.Run("head outside the table", func(t *testing.T) {
		r := newRing(t, 8)
		r.offer(8)
		if _, err := r.Pop(new(Chain)); err == nil {
			t.Fatal("accepted")
		}
	})
	t.Run("index jump", func(t *testing.T) {
		r := newRing(t, 8)
		r.setAvailIdx(9)
		if _, err := r.Pop(new(Chain)); err == nil || !strings.Contains(err.Error(), "jumped") {
			t.Fatal(err)
		}
	})
	t.Run("index going back", func(t *testing.T) {
		r := newRing(t, 8)
		r.setAvailIdx(0xffff)
		if _, err := r.Pop(new(Chain)); err == nil {
			t.Fatal("accepted")
		}
	})
	t.Run("indirect not negotiated", func(t *testing.T) {
		r := newRing(t, 8, noIndirect)
		r.desc(table, 0, dataAddr, 1, 0, 0)
		r.desc(descAddr, 0, table, 16, descIndirect, 0)
		r.offer(0)
		if _, err := r.Pop(new(Chain)); err == nil || !strings.Contains(err.Error(), "not negotiated") {
			t.Fatal(err)
		}
	})
}

// TestChainOf4GiB holds the limit on the sum, with the same buffer again and again.
func TestChainOf4GiB(t *testing.T) {
	const n, size = 1024, 4 << 20
	for extra, want := range map[uint32]bool{0: true, 1: false} {
		ram, err := memory.FromRegions(memory.Region{Host: make([]byte, 2*size)})
		if err != nil {
			t.Fatal(err)
		}
		r := newRing(t, 8, func(c *Config) { c.Memory = ram })
		r.low = ram.Regions()[0].Host
		for i := range n {
			r.desc(table, i, 0, size, descNext, uint16(i+1))
		}
		r.desc(table, n-1, 0, size+extra, 0, 0)
		r.desc(descAddr, 0, table, 16*n, descIndirect, 0)
		r.offer(0)
		if ok, err := r.Pop(new(Chain)); ok != want || (err == nil) != want {
			t.Fatalf("4 GiB and %d bytes: %v %v", extra, ok, err)
		}
	}
}

func TestNewChecksRings(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		ok     bool
	}{
		{"sound", func(*Config) {}, true},
		{"size 1", func(c *Config) { c.Size = 1 }, true},
		{"size 0", func(c *Config) { c.Size = 0 }, false},
		{"size 6", func(c *Config) { c.Size = 6 }, false},
		{"descriptors not aligned", func(c *Config) { c.Desc += 8 }, false},
		{"available ring not aligned", func(c *Config) { c.Avail++ }, false},
		{"available ring aligned to 2", func(c *Config) { c.Avail += 2 }, true},
		{"used ring not aligned", func(c *Config) { c.Used += 2 }, false},
		{"descriptors at the end", func(c *Config) { c.Desc = lowSize - 8*16 }, true},
		{"descriptors past the end", func(c *Config) { c.Desc = lowSize - 8*16 + 16 }, false},
		{"available ring at the end", func(c *Config) { c.Avail = lowSize - (6 + 2*8) }, true},
		{"available ring past the end", func(c *Config) { c.Avail = lowSize - (6 + 2*8) + 2 }, false},
		{"used ring past the end", func(c *Config) { c.Used = lowSize - (6 + 8*8) + 2 }, false},
		{"in the hole", func(c *Config) { c.Desc = 1 << 31 }, false},
		{"overflow", func(c *Config) { c.Used = ^uint64(0) - 3 }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRing(t, 8)
			c := Config{Memory: r.mem, Size: 8, Desc: descAddr, Avail: availAddr, Used: usedAddr}
			test.change(&c)
			if _, err := New(c); (err == nil) != test.ok {
				t.Fatal(err)
			}
		})
	}
}

func TestUnpop(t *testing.T) {
	r := newRing(t, 4)
	for i := range 4 {
		r.desc(descAddr, i, dataAddr, uint32(i+1), descWrite, 0)
	}
	r.offer(0, 1, 2, 3)
	var chains [4]Chain
	for i := range chains {
		if ok, err := r.Pop(&chains[i]); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	r.Unpop(2)
	var c Chain
	for want := uint16(2); want < 4; want++ {
		if ok, err := r.Pop(&c); !ok || err != nil || c.Head != want {
			t.Fatal(ok, err, c.Head)
		}
	}
	if ok, _ := r.Pop(&c); ok {
		t.Fatal("popped more than there was")
	}
}
