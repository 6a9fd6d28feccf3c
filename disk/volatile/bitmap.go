package volatile

import "sync/atomic"

const (
	chunkBits  = 1 << 15 // 4 KiB of bits, for 128 MiB of disk
	chunkWords = chunkBits / 64
)

// bitmap is a set of blocks. It takes memory only where blocks were set, and is read without a lock.
type bitmap struct {
	chunks []atomic.Pointer[[chunkWords]atomic.Uint64]
}

func newBitmap(n int64) *bitmap {
	return &bitmap{make([]atomic.Pointer[[chunkWords]atomic.Uint64], (n+chunkBits-1)/chunkBits)}
}

func (b *bitmap) get(n int64) bool {
	c := b.chunks[n/chunkBits].Load()
	return c != nil && c[n%chunkBits/64].Load()>>(n%64)&1 != 0
}

func (b *bitmap) set(n int64) {
	p := &b.chunks[n/chunkBits]
	c := p.Load()
	if c == nil {
		p.CompareAndSwap(nil, new([chunkWords]atomic.Uint64))
		c = p.Load()
	}
	c[n%chunkBits/64].Or(1 << (n % 64))
}

// empty says whether none of the blocks in the chunk of n is set.
func (b *bitmap) empty(n int64) bool { return b.chunks[n/chunkBits].Load() == nil }
