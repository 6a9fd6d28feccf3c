package vmdk

import (
	"container/list"
	"sync"
)

// maxInflated bounds the inflated grains that an extent keeps, in bytes.
const maxInflated = 32 << 20

// cache keeps the inflated grains that were read last, by the sector where they are stored: a rewritten grain is stored elsewhere. The zero
// value is ready.
type cache struct {
	mu     sync.Mutex
	grains map[uint32]*list.Element
	order  list.List // of *inflated, the latest first
	bytes  int
}

type inflated struct {
	sector uint32
	data   []byte
}

// get fills p from byte in of the grain stored at sector, if it is here.
func (c *cache) get(sector uint32, p []byte, in int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.grains[sector]
	if e == nil {
		return false
	}
	c.order.MoveToFront(e)
	copy(p, e.Value.(*inflated).data[in:])
	return true
}

// buffer returns room for a grain of n bytes: the oldest grain's when there are enough.
func (c *cache) buffer(n int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes+n <= maxInflated || c.order.Len() == 0 {
		return make([]byte, n)
	}
	old := c.order.Remove(c.order.Back()).(*inflated)
	delete(c.grains, old.sector)
	c.bytes -= len(old.data)
	return old.data
}

// put keeps data, which nobody writes to from now on.
func (c *cache) put(sector uint32, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.grains == nil {
		c.grains = map[uint32]*list.Element{}
	}
	if c.grains[sector] != nil {
		return // another reader was faster
	}
	c.grains[sector] = c.order.PushFront(&inflated{sector, data})
	c.bytes += len(data)
}
