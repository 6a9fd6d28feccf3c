package vnc

// palette numbers the colours of an area. It is a hash table with open addressing: a map takes most of the time of encoding.
type palette struct {
	keys   [paletteSlots]uint32
	places [paletteSlots]uint16 // number of a colour and 1; 0 is free
	colors []uint32
}

const (
	paletteBits  = 10
	paletteSlots = 1 << paletteBits // a good deal more than colours, of which there are 256 at most
)

// find returns where a colour is, or where there is room for it.
func (p *palette) find(v uint32) uint32 {
	at := v * 0x9e3779b1 >> (32 - paletteBits)
	for p.places[at] != 0 && p.keys[at] != v {
		at = (at + 1) % paletteSlots
	}
	return at
}

// count finds the colours of an area of width by height pixels in lines of stride, and says whether they are at most limit, which is at most 256.
func (p *palette) count(pixels []uint32, stride, width, height, limit int) bool {
	clear(p.places[:])
	p.colors = p.colors[:0]
	last := ^uint32(0)
	for y := range height {
		for _, v := range pixels[y*stride : y*stride+width] {
			if v == last {
				continue
			}
			last = v
			at := p.find(v)
			if p.places[at] != 0 {
				continue
			}
			if len(p.colors) == limit {
				return false
			}
			p.colors = append(p.colors, v)
			p.keys[at], p.places[at] = v, uint16(len(p.colors))
		}
	}
	return true
}

// pack appends the numbers of an area's colours, bits for each, lines beginning at a byte.
func (p *palette) pack(b []byte, pixels []uint32, stride, width, height, bits int) []byte {
	last, number := ^uint32(0), byte(0)
	for y := range height {
		var acc byte
		used := 0
		for _, v := range pixels[y*stride : y*stride+width] {
			if v != last {
				last, number = v, byte(p.places[p.find(v)]-1)
			}
			acc = acc<<bits | number
			if used += bits; used == 8 {
				b = append(b, acc)
				acc, used = 0, 0
			}
		}
		if used > 0 {
			b = append(b, acc<<(8-used))
		}
	}
	return b
}
