package queue

import (
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/vmm/event"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/memory/shared"
)

// Two pieces of fake RAM with a hole between, as under 4 GiB.
const (
	lowSize  = 1 << 20
	highBase = 1 << 32
	highSize = 1 << 16

	descAddr  = 0x1000
	availAddr = 0x8000
	usedAddr  = 0xa000
	dataAddr  = 0x10000
)

// ring is a driver's view of a queue, unchecked.
type ring struct {
	*Queue
	mem        *memory.Guest
	low        []byte
	interrupts int
}

func newRing(t testing.TB, size uint16, options ...func(*Config)) *ring {
	t.Helper()
	r := &ring{low: make([]byte, lowSize)}
	mem, err := memory.FromRegions(memory.Region{Host: r.low}, memory.Region{Base: highBase, Host: make([]byte, highSize)})
	if err != nil {
		t.Fatal(err)
	}
	kick, err := event.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kick.Close() })
	c := Config{
		Memory: mem, Size: size, Desc: descAddr, Avail: availAddr, Used: usedAddr,
		EventIdx: true, Indirect: true, Kick: kick, Interrupt: func() { r.interrupts++ },
	}
	for _, o := range options {
		o(&c)
	}
	r.mem = mem
	if r.Queue, err = New(c); err != nil {
		t.Fatal(err)
	}
	return r
}

func noEventIdx(c *Config) { c.EventIdx = false }
func noIndirect(c *Config) { c.Indirect = false }

// desc writes entry i of the table at addr.
func (r *ring) desc(table uint64, i int, addr uint64, length uint32, flags, next uint16) {
	p := r.low[table+16*uint64(i):]
	binary.LittleEndian.PutUint64(p, addr)
	binary.LittleEndian.PutUint32(p[8:], length)
	binary.LittleEndian.PutUint16(p[12:], flags)
	binary.LittleEndian.PutUint16(p[14:], next)
}

// offer makes chains available.
func (r *ring) offer(heads ...uint16) {
	idx := r.availIdx()
	for _, h := range heads {
		binary.LittleEndian.PutUint16(r.low[availAddr+4+2*uint64(idx%r.Size()):], h)
		idx++
	}
	r.setAvailIdx(idx)
}

func (r *ring) availIdx() uint16     { return shared.Load16(r.low, availAddr+2) }
func (r *ring) setAvailIdx(v uint16) { shared.Store16(r.low, availAddr+2, v) }
func (r *ring) usedIdx() uint16      { return shared.Load16(r.low, usedAddr+2) }

func (r *ring) usedElem(i uint16) (id, length uint32) {
	p := r.low[usedAddr+4+8*uint64(i%r.Size()):]
	return binary.LittleEndian.Uint32(p), binary.LittleEndian.Uint32(p[4:])
}

// setUsedEvent asks for an interrupt when the used index passes v.
func (r *ring) setUsedEvent(v uint16) { shared.Store16(r.low, availAddr+4+2*int(r.Size()), v) }

func (r *ring) availEvent() uint16 { return shared.Load16(r.low, usedAddr+4+8*int(r.Size())) }
