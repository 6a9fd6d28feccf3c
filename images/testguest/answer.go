package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
)

// answer (MIB:READ) fills memory of MIB, paints the pattern of seed 1, and then answers each key that is pressed: it reads READ MiB of that memory, page by page from all
// over it, and paints the square at answerAt in answerColour of the number of keys so far. It ends when F12 is let go.
func answer(args string) error {
	var mib, read int
	if _, err := fmt.Sscanf(args, "%d:%d", &mib, &read); err != nil || read < 1 || read > mib {
		return fmt.Errorf("%q: MIB:READ is wanted, %w", args, err)
	}
	const page = 4096
	filled, err := offHeap(mib)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < len(filled); i += page {
		binary.LittleEndian.PutUint64(filled[i:], random.Uint64()|1)
	}
	c, f, err := firstCard()
	if err != nil {
		return err
	}
	defer f.Close()
	defer c.unmap()
	fb, err := c.show(c.modes[0], 1)
	if err != nil {
		return err
	}
	keyboards, err := inputDevices("eyboard", 1)
	if err != nil {
		return err
	}
	pressed, failed := make(chan uint16), make(chan error)
	for _, k := range keyboards {
		go func() {
			for b := make([]byte, inputEventSize); ; {
				if _, err := io.ReadFull(k, b); err != nil {
					failed <- err
					return
				}
				kind, code, value := binary.LittleEndian.Uint16(b[16:]), binary.LittleEndian.Uint16(b[18:]), binary.LittleEndian.Uint32(b[20:])
				if kind == keyEvent && (value == 1 && code != lastKey || value == 0 && code == lastKey) {
					pressed <- code
				}
			}
		}()
	}
	say("waiting for keys")
	var sum uint64
	for n := uint32(1); ; n++ {
		select {
		case err := <-failed:
			return err
		case code := <-pressed:
			if code == lastKey {
				return nil
			}
		}
		for i := 0; i < len(filled); i += page * (mib / read) {
			sum += binary.LittleEndian.Uint64(filled[i:])
		}
		if sum == 0 {
			return fmt.Errorf("memory holds nothing")
		}
		if err := c.square(fb, answerColour(n)); err != nil {
			return err
		}
	}
}

// answerAt and answerSize are where the square is, in pixels.
const answerAt, answerSize = 16, 64

// answerColour is the square's colour after key n.
func answerColour(n uint32) uint32 { return (n * 0x9e3779b1) & 0xffffff }

// square paints it.
func (c *drmCard) square(p *picture, colour uint32) error {
	for y := answerAt; y < answerAt+answerSize; y++ {
		for x := answerAt; x < answerAt+answerSize; x++ {
			binary.LittleEndian.PutUint32(p.pixels[y*p.pitch+4*x:], colour)
		}
	}
	return c.dirty(p, answerAt, answerAt, answerAt+answerSize, answerAt+answerSize)
}
