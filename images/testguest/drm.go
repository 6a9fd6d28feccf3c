package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/sharevm/vmm/images/guest/setup"
	"golang.org/x/sys/unix"
)

// screen (SEED) draws on the first graphics card through DRM dumb buffers, in steps that the test looks at: after each it says "screen STEP WxH" and waits for a
// line on the console.
//
//	text     a line of text on tty1, by the kernel's own console
//	pattern  every pixel by pixelOf, in the monitor's favourite mode
//	square   50 by 40 pixels at (100, 80) in red
//	cursor   a blue cursor at (300, 200), where the card has one; its corner is half transparent
//	mode     the pattern in 800x600
//	wish     the pattern in what the monitor likes best by now
func drawScreen(args string) error {
	var seed uint32
	if _, err := fmt.Sscan(args, &seed); err != nil {
		return err
	}
	const device = "/dev/dri/card0"
	if err := setup.WaitFor(device, 20*time.Second); err != nil {
		return err
	}
	lines := bufio.NewReader(os.Stdin)
	step := func(name string, width, height int) error {
		say("screen %s %dx%d", name, width, height)
		_, err := lines.ReadString('\n')
		return err
	}
	if err := os.WriteFile("/dev/tty1", []byte("\x1b[2J\x1b[Hfirst line\r\n\x1b[31mHello, screen.\x1b[0m\r\n"), 0); err != nil {
		return err
	}
	if err := step("text", 0, 0); err != nil {
		return err
	}
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	c, err := openCard(int(f.Fd()))
	if err != nil {
		return err
	}
	defer c.unmap()
	fb, err := c.show(c.modes[0], seed)
	if err != nil {
		return err
	}
	if err := step("pattern", fb.width, fb.height); err != nil {
		return err
	}
	for y := 80; y < 120; y++ {
		for x := 100; x < 150; x++ {
			binary.LittleEndian.PutUint32(fb.pixels[y*fb.pitch+4*x:], 0xff0000)
		}
	}
	if err := c.dirty(fb, 100, 80, 150, 120); err != nil {
		return err
	}
	if err := step("square", fb.width, fb.height); err != nil {
		return err
	}
	switch err := c.cursor(300, 200); {
	case errors.Is(err, unix.ENXIO):
		say("the card has no cursor")
	case err != nil:
		return err
	default:
		if err := step("cursor", fb.width, fb.height); err != nil {
			return err
		}
	}
	i := slices.IndexFunc(c.modes, func(m drmMode) bool { return m.Width == 800 && m.Height == 600 })
	if i < 0 {
		return fmt.Errorf("no mode of 800x600 among %d", len(c.modes))
	}
	if fb, err = c.show(c.modes[i], seed+1); err != nil {
		return err
	}
	if err := step("mode", fb.width, fb.height); err != nil {
		return err
	}
	if err := c.look(); err != nil {
		return err
	}
	if fb, err = c.show(c.modes[0], seed+2); err != nil {
		return err
	}
	return step("wish", fb.width, fb.height)
}

// firstCard waits for the first graphics card, and opens it.
func firstCard() (*drmCard, *os.File, error) {
	const device = "/dev/dri/card0"
	if err := setup.WaitFor(device, 20*time.Second); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	c, err := openCard(int(f.Fd()))
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return c, f, nil
}

// flood (SECONDS) redraws the whole of a picture of 1920 by 1080 pixels 60 times a second.
func flood(args string) error {
	var seconds int
	if _, err := fmt.Sscan(args, &seconds); err != nil {
		return err
	}
	c, f, err := firstCard()
	if err != nil {
		return err
	}
	defer f.Close()
	defer c.unmap()
	i := slices.IndexFunc(c.modes, func(m drmMode) bool { return m.Width == 1920 && m.Height == 1080 })
	if i < 0 {
		return fmt.Errorf("no mode of 1920x1080 among %d", len(c.modes))
	}
	fb, err := c.show(c.modes[i], 1)
	if err != nil {
		return err
	}
	say("flood begins")
	lines := [2][]byte{make([]byte, fb.pitch), make([]byte, fb.pitch)}
	for i := range lines[1] {
		lines[1][i] = 0xc0
	}
	frames, end := 0, time.Now().Add(time.Duration(seconds)*time.Second)
	next := time.Now()
	for ; time.Now().Before(end); frames++ {
		for y := range fb.height {
			copy(fb.pixels[y*fb.pitch:], lines[frames&1])
		}
		if err := c.dirty(fb, 0, 0, fb.width, fb.height); err != nil {
			return err
		}
		if next = next.Add(time.Second / 60); time.Until(next) < 0 {
			next = time.Now()
		}
		time.Sleep(time.Until(next))
	}
	say("flood drew %d frames in %d s", frames, seconds)
	return nil
}

// draw has a picture of the monitor's favourite mode redrawn ten times a second, from now on.
func draw(string) error {
	c, f, err := firstCard()
	if err != nil {
		return err
	}
	fb, err := c.show(c.modes[0], 1)
	if err != nil {
		return err
	}
	go func() {
		defer f.Close()
		line := make([]byte, fb.pitch)
		for frame := byte(0); ; frame++ {
			for i := range line {
				line[i] = frame
			}
			for y := range fb.height {
				copy(fb.pixels[y*fb.pitch:], line)
			}
			if err := c.dirty(fb, 0, 0, fb.width, fb.height); err != nil {
				say("task draw: failed: %v", err)
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return nil
}

// pixelOf is what pixel (x, y) of a pattern is: 0xRRGGBB.
func pixelOf(seed uint32, x, y int) uint32 {
	return (seed*0x9e3779b1>>8 ^ uint32(x)*0x10101 + uint32(y)*0x30507) & 0xffffff
}
