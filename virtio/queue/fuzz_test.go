package queue

import (
	"encoding/binary"
	"testing"
)

// FuzzChain puts arbitrary bytes where the rings and an indirect table are. Whatever they say, popping ends, and every chain that
// comes out keeps what the package promises.
func FuzzChain(f *testing.F) {
	le := binary.LittleEndian
	seed := func(descs ...descriptor) []byte {
		b := make([]byte, 0, 256)
		b = append(b, 1, 0, 0, 0) // flags, index
		b = le.AppendUint16(b, 0)
		for _, d := range descs {
			b = le.AppendUint64(b, d.addr)
			b = le.AppendUint32(b, d.len)
			b = le.AppendUint16(b, d.flags)
			b = le.AppendUint16(b, d.next)
		}
		return b
	}
	f.Add(uint8(3), uint16(1), []byte{0, 0}, seed(descriptor{dataAddr, 16, descNext, 1}, descriptor{dataAddr, 1, descWrite, 0})[6:])
	f.Add(uint8(2), uint16(2), []byte{0, 0, 1, 0}, seed(descriptor{descAddr, 64, descIndirect, 0})[6:])
	f.Add(uint8(0), uint16(0xffff), []byte{1}, seed(descriptor{^uint64(0), 0xffffffff, descNext | descIndirect, 0xffff})[6:])
	f.Add(uint8(4), uint16(4), []byte{0, 0, 1, 0, 2, 0, 0, 0}, seed(
		descriptor{lowSize - 1, 1, descWrite | descNext, 2}, descriptor{highBase, 2, 0, 1}, descriptor{0, lowSize, descWrite, 0})[6:])
	f.Fuzz(func(t *testing.T, order uint8, idx uint16, avail, descs []byte) {
		size := uint16(1) << (order % 8)
		r := newRing(t, size)
		copy(r.low[availAddr+4:availAddr+4+2*int(size)], avail)
		copy(r.low[descAddr:descAddr+0x2000], descs) // more than the table: indirect tables point here
		r.setAvailIdx(idx)
		var c Chain
		popped := 0
		for {
			ok, err := r.Pop(&c)
			if err != nil {
				if ok || r.Err() == nil {
					t.Fatal("an error that did not break the queue", err)
				}
				return
			}
			if !ok {
				break
			}
			if popped++; popped > int(size) {
				t.Fatalf("%d chains from a queue of %d", popped, size)
			}
			checkChain(t, &c, size)
			r.Push(c.Head, uint32(c.WriteLen))
			r.Publish()
		}
		if r.EnableNotifications() || r.usedIdx() != idx {
			t.Fatalf("used %d of %d", r.usedIdx(), idx)
		}
	})
}

// sink keeps the compiler from dropping loads.
var sink byte

func checkChain(t *testing.T, c *Chain, size uint16) {
	t.Helper()
	if c.Head >= size || len(c.Readable)+len(c.Writable) == 0 || len(c.Readable)+len(c.Writable) > MaxSegments {
		t.Fatalf("head %d, %d+%d buffers", c.Head, len(c.Readable), len(c.Writable))
	}
	sum := func(bufs [][]byte) (n uint64) {
		for _, b := range bufs {
			if len(b) == 0 || len(b) > lowSize {
				t.Fatalf("a buffer of %d bytes", len(b))
			}
			sink = b[0] + b[len(b)-1] // faults where it is not RAM
			n += uint64(len(b))
		}
		return n
	}
	if r, w := sum(c.Readable), sum(c.Writable); r != c.ReadLen || w != c.WriteLen || r+w > 1<<32 {
		t.Fatalf("%d+%d bytes, said %d+%d", r, w, c.ReadLen, c.WriteLen)
	}
}
