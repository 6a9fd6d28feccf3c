package gpu

import (
	"encoding/binary"
	"image"
	"sort"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/virtio/queue"
	"github.com/sharevm/vmm/vmm/memory"
)

// Bounds on what a guest may have at a time, besides bytes.
const (
	maxResources = 512
	maxPieces    = 1 << 18 // of backing memory, of all resources together
)

// resource is an image in the host's memory.
type resource struct {
	id            uint32
	format        uint32
	width, height int
	mem           *display.Memory
	backing       []piece
}

// piece is memory of the guest that backs a resource.
type piece struct {
	addr, size uint64
	start      uint64 // where it begins in the backing
	host       []byte // nil until the device is active
}

func (r *resource) bounds() image.Rectangle { return image.Rect(0, 0, r.width, r.height) }
func (r *resource) stride() int             { return r.width * pixelSize }

// bytesOf is the memory that an image takes, in whole pages.
func bytesOf(width, height int) int { return (width*height*pixelSize + 4095) &^ 4095 }

// create answers RESOURCE_CREATE_2D.
func (d *Device) create(id, format uint32, width, height uint32) uint32 {
	_, known := formats[format]
	switch {
	case id == 0 || d.resources[id] != nil:
		return respBadResource
	case !known || width == 0 || height == 0 || width > display.MaxSize || height > display.MaxSize:
		return respBadParameter
	}
	size := bytesOf(int(width), int(height))
	if len(d.resources) >= maxResources || size > d.maxBytes-d.bytes {
		d.log().Warn("the guest wants more memory for pictures than it may have", "device", "virtio-gpu", "bytes", size, "in use", d.bytes, "resources", len(d.resources))
		return respOutOfMemory
	}
	mem, err := display.NewMemory("gpu", size)
	if err != nil {
		d.log().Warn("no memory for a picture", "device", "virtio-gpu", "error", err)
		return respOutOfMemory
	}
	d.resources[id] = &resource{id: id, format: format, width: int(width), height: int(height), mem: mem}
	d.bytes += size
	return respOK
}

// drop frees a resource; scanouts that show it go off.
func (d *Device) drop(r *resource) {
	for _, s := range d.scanouts {
		if s.resource == r.id {
			s.off()
		}
	}
	d.pieces -= len(r.backing)
	d.bytes -= len(r.mem.Bytes())
	r.mem.Release()
	delete(d.resources, r.id)
}

// attach answers RESOURCE_ATTACH_BACKING, whose n pieces follow in the chain.
func (d *Device) attach(r *resource, n uint32, c *queue.Chain) uint32 {
	if r.backing != nil {
		return respUnspecified
	}
	if n == 0 || uint64(n)*entrySize > c.ReadLen {
		return respBadParameter
	}
	if int(n) > maxPieces-d.pieces {
		return respOutOfMemory
	}
	var pieces []piece
	var total uint64
	for range n {
		var b [entrySize]byte
		c.CopyIn(b[:])
		p := piece{addr: binary.LittleEndian.Uint64(b[0:]), size: uint64(binary.LittleEndian.Uint32(b[8:])), start: total}
		if p.size == 0 {
			continue
		}
		total += p.size
		// Pages side by side are one piece, where they are in one region of RAM.
		if k := len(pieces) - 1; k >= 0 && pieces[k].addr+pieces[k].size == p.addr {
			if joined, err := d.memory.Slice(pieces[k].addr, pieces[k].size+p.size); err == nil {
				pieces[k].size, pieces[k].host = pieces[k].size+p.size, joined
				continue
			}
		}
		host, err := d.memory.Slice(p.addr, p.size)
		if err != nil {
			return respBadParameter
		}
		p.host = host
		pieces = append(pieces, p)
	}
	r.backing = pieces
	d.pieces += len(pieces)
	return respOK
}

// bind finds the backing of a restored resource in guest RAM.
func (r *resource) bind(mem *memory.Guest) error {
	for i := range r.backing {
		p := &r.backing[i]
		var err error
		if p.host, err = mem.Slice(p.addr, p.size); err != nil {
			return err
		}
	}
	return nil
}

func (d *Device) detach(r *resource) uint32 {
	d.pieces -= len(r.backing)
	r.backing = nil
	return respOK
}

// transfer answers TRANSFER_TO_HOST_2D: the rectangle's first pixel is at offset of the backing, and lines are as far apart as in the resource.
func (r *resource) transfer(rect image.Rectangle, offset uint64) uint32 {
	if rect.Empty() || !rect.In(r.bounds()) {
		return respBadParameter
	}
	if r.backing == nil {
		return respUnspecified
	}
	stride, line := r.stride(), rect.Dx()*pixelSize
	last := &r.backing[len(r.backing)-1]
	if total, need := last.start+last.size, uint64(stride)*uint64(rect.Dy()-1)+uint64(line); offset > total || need > total-offset {
		return respBadParameter
	}
	dst := r.mem.Bytes()[rect.Min.Y*stride+rect.Min.X*pixelSize:]
	if line == stride {
		r.gather(dst[:stride*rect.Dy()], offset)
		return respOK
	}
	for range rect.Dy() {
		r.gather(dst[:line], offset)
		offset += uint64(stride)
		dst = dst[min(stride, len(dst)):]
	}
	return respOK
}

// gather fills dst from the backing, which is long enough.
func (r *resource) gather(dst []byte, offset uint64) {
	i := sort.Search(len(r.backing), func(i int) bool { return r.backing[i].start+r.backing[i].size > offset })
	for ; len(dst) > 0; i++ {
		p := &r.backing[i]
		n := copy(dst, p.host[offset-p.start:])
		dst, offset = dst[n:], offset+uint64(n)
	}
}
