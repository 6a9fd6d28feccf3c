//go:build !race

package nvme_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/vmm/memory/memorytest"
)

// TestRacingCommand has a guest rewrite a command and its PRP list while the controller reads them: what was checked is what is done, so that no
// block is changed but those that some sound command named. (The race is the point, so the race detector does not run this.)
func TestRacingCommand(t *testing.T) {
	image := newImage(imageSize)
	original := pattern(5, imageSize)
	image.Fill(0, original)
	d, q := start(t, one(image))
	buf, list := d.alloc(8), d.alloc(1)
	entries := d.ram(list, 24)
	commands := []command{
		transfer(write, 8, 32, buf, list), transfer(read, 8, 8, buf, 0), transfer(write, 1<<63, 32, buf, list), transfer(write, imageSize/512-1, 32, buf, list),
		transfer(write, 8, 1<<16, buf, list), cmd(0x7f, 9, 1, 3, 8, 0, 7),
	}
	var images [][]byte
	for _, c := range commands {
		b := make([]byte, 0, 64)
		for _, v := range c {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		images = append(images, b)
	}
	ring := d.ram(q.sq, q.size*64)
	stop := memorytest.Beside(t, func(i int) {
		copy(ring[i%q.size*64:], images[i%len(images)])
		binary.LittleEndian.PutUint64(entries[8*(i%3):], []uint64{buf, buf + page, 1, ramSize, ^uint64(0)}[i%5])
	})
	for range 20000 {
		q.offer(commands[0])
		q.ring()
		q.next()
	}
	stop()
	if s := d.reg(regCSTS); s != ready {
		t.Errorf("CSTS %#x", s)
	}
	const first, end = 8 * 512, 40 * 512
	if !bytes.Equal(image.Content(0, first), original[:first]) || !bytes.Equal(image.Content(end, imageSize-end), original[end:]) {
		t.Error("a block that no sound command named was changed")
	}
}
