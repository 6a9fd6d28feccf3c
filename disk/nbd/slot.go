package nbd

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
)

// pieceSize is how much of a request is worked on at a time, in bytes: what a processor's cache holds.
const pieceSize = 256 << 10

// operation is a request that workers serve. Several slots may share one.
type operation struct {
	request
	left   atomic.Int32  // pieces that are not finished
	failed atomic.Uint32 // the code of an error, or 0
}

// slot is the room for a piece of a request.
type slot struct {
	op     *operation
	off, n int64 // the piece

	buf   []byte                    // of pieceSize, made when first needed
	each  func(disk.Extent) bool    // extent, bound once
	runs  []run                     // of a read
	known *known                    // likewise
	lists [numContexts]statusList   // of a block status
	zeros zeroing                   // of a fast WRITE_ZEROES
	heads [maxRuns * chunkHead]byte // of a read's chunks
	vecs  [2 * maxRuns][]byte       // heads and data
	out   net.Buffers               // of vecs, what is still to be sent
}

func newSlot() *slot {
	s := &slot{runs: make([]run, 0, maxRuns)}
	s.each = s.extent
	return s
}

func (s *slot) buffer() []byte {
	if s.buf == nil {
		s.buf = make([]byte, pieceSize)
	}
	return s.buf
}

// extent takes what the image tells about the range of a request; it returns false when it wants to know no more.
func (s *slot) extent(e disk.Extent) bool {
	switch s.op.kind {
	case cmdRead:
		return s.addRun(e)
	case cmdBlockStatus:
		return s.describe(e)
	}
	return s.zeros.see(e)
}

// pool has a connection's slots. The one that came back last is given first, as its buffer is still in the cache.
type pool struct {
	from  *sync.Pool
	depth int

	mu   sync.Mutex
	some sync.Cond
	free []*slot
	ops  []*operation // that are over
	made int          // slots taken from from
}

func (p *pool) init(from *sync.Pool, depth int) {
	p.from, p.depth = from, depth
	p.some.L = &p.mu
}

// try takes a free slot, or returns nil.
func (p *pool) try() *slot {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take()
}

func (p *pool) take() *slot {
	if last := len(p.free) - 1; last >= 0 {
		s := p.free[last]
		p.free = p.free[:last]
		return s
	}
	if p.made == p.depth {
		return nil
	}
	p.made++
	return p.from.Get().(*slot)
}

// get waits for a free slot.
func (p *pool) get() *slot {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if s := p.take(); s != nil {
			return s
		}
		p.some.Wait()
	}
}

func (p *pool) put(s *slot) {
	p.mu.Lock()
	s.op = nil
	p.free = append(p.free, s)
	p.mu.Unlock()
	p.some.Signal()
}

// taken is how many slots are in use.
func (p *pool) taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.made - len(p.free)
}

// operation returns one for a request of so many pieces.
func (p *pool) operation(r request, pieces int) *operation {
	p.mu.Lock()
	var o *operation
	if last := len(p.ops) - 1; last >= 0 {
		o, p.ops = p.ops[last], p.ops[:last]
	} else {
		o = new(operation)
	}
	p.mu.Unlock()
	o.request = r
	o.left.Store(int32(pieces))
	o.failed.Store(0)
	return o
}

// over takes back an operation that has been answered.
func (p *pool) over(o *operation) {
	p.mu.Lock()
	p.ops = append(p.ops, o)
	p.mu.Unlock()
}

// end gives the slots back to the server.
func (p *pool) end() {
	for _, s := range p.free {
		p.from.Put(s)
	}
	p.free = nil
}
