package queue

// MaxSegments is the most buffers that one chain may have, indirect ones included. It is the host's own limit for
// a vectored transfer (IOV_MAX), so that a chain is at most one system call.
const MaxSegments = 1024

// Chain is one request: buffers of the guest that the device reads, then buffers that it writes. The zero value is ready for Pop.
type Chain struct {
	// Head names the chain to Push.
	Head uint16
	// Readable and Writable are slices of guest RAM, none empty. They are valid until the chain is pushed
	// or the next Pop into this Chain. A device may shorten them as it consumes them.
	Readable, Writable [][]byte
	// ReadLen and WriteLen are the bytes in them; at most 4 GiB together.
	ReadLen, WriteLen uint64

	buffers [][]byte // storage of Readable and Writable
}

// CopyIn moves the first bytes of Readable into p and returns how many there were. A header is read so, once, however
// the driver has cut it into buffers.
func (c *Chain) CopyIn(p []byte) (n int) {
	for n < len(p) && len(c.Readable) > 0 {
		k := copy(p[n:], c.Readable[0])
		n += k
		if c.Readable[0] = c.Readable[0][k:]; len(c.Readable[0]) == 0 {
			c.Readable = c.Readable[1:]
		}
	}
	c.ReadLen -= uint64(n)
	return n
}

// CopyOut moves p to the first bytes of Writable and returns how many there was room for.
func (c *Chain) CopyOut(p []byte) (n int) {
	for n < len(p) && len(c.Writable) > 0 {
		k := copy(c.Writable[0], p[n:])
		n += k
		if c.Writable[0] = c.Writable[0][k:]; len(c.Writable[0]) == 0 {
			c.Writable = c.Writable[1:]
		}
	}
	c.WriteLen -= uint64(n)
	return n
}

// TakeLastByte cuts the last byte off Writable and returns it as a slice of guest RAM, or nil when nothing is writable. Status
// bytes lie there.
func (c *Chain) TakeLastByte() []byte {
	last := len(c.Writable) - 1
	if last < 0 {
		return nil
	}
	buf := c.Writable[last]
	end := len(buf) - 1
	if c.Writable[last] = buf[:end]; end == 0 {
		c.Writable = c.Writable[:last]
	}
	c.WriteLen--
	return buf[end:]
}
