package vhd

// bitmap has a bit per sector of a block, the first sector in the most significant bit of the first byte; 1 is present.
type bitmap []byte

func (b bitmap) has(sector int64) bool { return b[sector/8]&(0x80>>(sector%8)) != 0 }

// set marks sectors [first, end) as present.
func (b bitmap) set(first, end int64) {
	for s := first; s < end; s++ {
		b[s/8] |= 0x80 >> (s % 8)
	}
}

// full says whether the first n sectors, n a multiple of 8, are all present. What follows is padding.
func (b bitmap) full(n int64) bool {
	for _, x := range b[:n/8] {
		if x != 0xff {
			return false
		}
	}
	return true
}

// bitmapCache keeps the bitmaps of some blocks that are not full.
type bitmapCache struct {
	bitmaps map[int64]bitmap
	bytes   int
}

// maxCache bounds the cached bitmaps, in bytes. One of 2 MiB takes 512.
const maxCache = 1 << 20

func (c *bitmapCache) get(block int64) bitmap { return c.bitmaps[block] }

func (c *bitmapCache) put(block int64, b bitmap) {
	if c.bytes >= maxCache || c.bitmaps == nil {
		c.bitmaps, c.bytes = map[int64]bitmap{}, 0
	}
	c.bitmaps[block] = b
	c.bytes += len(b)
}

func (c *bitmapCache) drop(block int64) {
	c.bytes -= len(c.bitmaps[block])
	delete(c.bitmaps, block)
}
