package inflated

import (
	"github.com/sharevm/vmm/disk/internal/parallel"
)

// Source is the image whose blocks are kept.
type Source interface {
	// UnpackBlock fills p from byte off of the disk, all of it in one block, with what the image holds there now: by [Cache.Read] if that
	// is compressed.
	UnpackBlock(p []byte, off int64) error
	// Inflate fills p, which is as long as a block, with the content of a block that key stands for.
	Inflate(p []byte, block int64, key uint64) error
}

// Cache keeps inflated blocks. Its methods may be called concurrently.
type Cache struct {
	src    Source
	shift  uint // of a block in bytes
	shards []shard
	spill  spill
	recent streams
}

// New returns the cache of a disk of so many blocks of 1<<shift bytes.
func New(src Source, shift uint, blocks int64) *Cache {
	size := int64(1) << shift
	n := max(minSlots, min(maxSlots, inMemory/size))
	c := &Cache{src: src, shift: shift, shards: make([]shard, max(1, n/ways))}
	for i := range c.shards {
		c.shards[i].init(int(n) / len(c.shards))
	}
	c.spill.init(size, blocks, n)
	return c
}

// Unpack fills p from byte off of the disk by way of the source's UnpackBlock, on all processors where several blocks are concerned.
func (c *Cache) Unpack(p []byte, off int64) error {
	first := off >> c.shift
	n := (off+int64(len(p))-1)>>c.shift - first + 1
	if n <= 1 {
		return c.src.UnpackBlock(p, off)
	}
	return parallel.Do(int(n), func(k int) error {
		start := (first + int64(k)) << c.shift
		from, to := max(off, start), min(off+int64(len(p)), start+1<<c.shift)
		return c.src.UnpackBlock(p[from-off:to-off], from)
	})
}

// Read fills p from byte in of a block. Key, which is not 0, stands for its content: what the table says of the block, so that another content
// has another key.
func (c *Cache) Read(p []byte, block int64, key uint64, in int64) error {
	s := &c.shards[uint64(block)%uint64(len(c.shards))]
	spilled := false // known to be absent, or not readable
	s.mu.Lock()
	for {
		e := s.find(key)
		switch {
		case e != nil && e.filling: // by somebody else
			s.changed.Wait()
			continue
		case e != nil:
			s.use(e)
			copy(p, e.data[in:])
			s.mu.Unlock()
			return nil
		case !spilled && c.spill.has(block, key):
			s.mu.Unlock()
			if c.spill.read(p, block, key, in) {
				return nil
			}
			spilled = true
			s.mu.Lock()
			continue
		case int64(len(p)) == 1<<c.shift:
			s.mu.Unlock()
			return c.src.Inflate(p, block, key)
		}
		if e = s.take(key); e != nil {
			s.mu.Unlock()
			return c.fill(s, e, p, block, in)
		}
		s.changed.Wait() // all slots are being filled
	}
}

// fill inflates a block into a slot, and fills p from byte in of it.
func (c *Cache) fill(s *shard, e *slot, p []byte, block, in int64) error {
	done := false
	defer func() { s.filled(e, done) }()
	if e.data == nil {
		e.data = make([]byte, 1<<c.shift)
	}
	if err := c.src.Inflate(e.data, block, e.key); err != nil {
		return err
	}
	copy(p, e.data[in:])
	if !c.recent.follows(block) {
		c.spill.store(e.data, block, e.key)
	}
	done = true
	return nil
}

// Close gives the temporary file back. Reads go on to work, without it.
func (c *Cache) Close() error { return c.spill.drop() }
