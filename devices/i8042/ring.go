package i8042

import "github.com/sharevm/vmm/vmm/state"

// ringSize is how many bytes a device keeps for a guest that does not read.
const ringSize = 64

// ring is a bounded queue of bytes.
type ring struct {
	buf  [ringSize]uint8
	head int // the oldest
	n    int
}

func (q *ring) room() int { return ringSize - q.n }

func (q *ring) clear() { q.n = 0 }

// push appends all of p, or nothing where it does not fit.
func (q *ring) push(p ...uint8) bool {
	if len(p) > q.room() {
		return false
	}
	for _, v := range p {
		q.buf[(q.head+q.n)%ringSize] = v
		q.n++
	}
	return true
}

// pop takes the oldest byte of a queue that is not empty.
func (q *ring) pop() uint8 {
	v := q.buf[q.head]
	q.head = (q.head + 1) % ringSize
	q.n--
	return v
}

func (q *ring) save(w *state.Writer) {
	b := make([]byte, q.n)
	for i := range b {
		b[i] = q.buf[(q.head+i)%ringSize]
	}
	w.Bytes(b)
}

func (q *ring) restore(r *state.Reader) {
	b := r.Bytes(ringSize)
	q.head, q.n = 0, copy(q.buf[:], b)
}
