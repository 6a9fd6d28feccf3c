//go:build !race

package fusion

import (
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/vmm/memory/memorytest"
)

// TestRacingWriter has a guest rewrite a request and its chains of pieces while the adapter reads them. Whatever it gets to see, each request is answered, and the
// adapter works.
func TestRacingWriter(t *testing.T) {
	g := newGuest(t, SAS1068).bringUp()
	const chain = 0x18000
	words := []uint32{
		512 | lastOfAll<<24, dataStart, 4096 | (sgeSimple)<<24, ramSize - 1, 0xffffff | (sgeSimple)<<24, ramSize, sgeChain<<24 | 64, chain, sgeChain<<24 | 0xffff, ^uint32(0), 0,
	}
	stop := memorytest.Beside(t, func(i int) {
		frame := g.ram[frames+frameSize:][:frameSize]
		binary.LittleEndian.PutUint32(frame[offSGL+i%8*4:], words[i%len(words)])
		binary.LittleEndian.PutUint32(frame[offDataLength:], []uint32{512, 0, 4096, ^uint32(0)}[i%4])
		binary.LittleEndian.PutUint32(frame[offSense:], []uint32{senses, ramSize - 1, ^uint32(0)}[i%3])
		frame[0], frame[offCDBLength], frame[offSenseLength] = byte(i%3), byte(i), byte(i)
		binary.LittleEndian.PutUint32(g.ram[chain+i%32*4:], words[i/3%len(words)])
	})
	for range 20000 {
		frame := scsiFrame(1, 1, read10(1, 8), 4096)
		g.post(1, frame)
		g.await()
	}
	stop()
	if reply := g.do(read10(0, 1), 512); reply != nil {
		t.Errorf("a sound request afterwards: %x", reply)
	}
}
