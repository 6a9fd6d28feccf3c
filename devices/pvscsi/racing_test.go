//go:build !race

package pvscsi

import (
	"testing"

	"github.com/sharevm/vmm/vmm/memory/memorytest"
)

// TestRacingWriter has a guest rewrite a request and its list of pieces while the adapter reads them. Whatever it gets to see, each request completes, and the
// adapter works.
func TestRacingWriter(t *testing.T) {
	g := newGuest(t).bringUp()
	places := []uint64{dataStart, dataStart + 4096, ramSize - 1, ramSize, ^uint64(0), listPage * pageSize}
	sizes := []uint64{512, 0, 4096, maxData, maxData + 1, ^uint64(0)}
	stop := memorytest.Beside(t, func(i int) {
		e := g.ram[reqPage*pageSize+i%64*requestSize:][:requestSize]
		le.PutUint64(e[rqData:], places[i%5])
		le.PutUint64(e[rqLength:], sizes[i/5%6])
		le.PutUint32(e[rqFlags:], uint32(i/30%8))
		e[rqCDBLength], e[rqTarget] = byte(i), byte(i%3)
		piece := g.ram[listPage*pageSize+i%8*elementSize:]
		le.PutUint64(piece, places[i%6])
		le.PutUint64(piece[8:], sizes[i/6%6]&0xffffffff|uint64(i/36%2)<<32)
	})
	for range 20000 {
		e := descriptor(1, 1, read10(1, 8), 4096)
		le.PutUint64(e[rqData:], listPage*pageSize)
		le.PutUint32(e[rqFlags:], flagList)
		g.submit(e)
		g.await()
	}
	stop()
	g.bringUp()
	g.do(read10(0, 1), 512, completion{moved: 512})
}
