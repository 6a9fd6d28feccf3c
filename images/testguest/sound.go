package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/sharevm/vmm/images/guest/setup"
	"golang.org/x/sys/unix"
)

// What the kernel's sound/asound.h says of a PCM device.
const (
	sndHWParams   = 0xc260_4111
	sndPrepare    = 0x4140
	sndDrain      = 0x4144
	sndParamsSize = 608
	sndMask       = 32 // bytes of a mask, of which eight follow the flags
	sndIntervals  = 4 + 8*sndMask
	sndInterval   = 12
	sndRequested  = 512 // which parameters are asked for
	sndInfo       = 520

	sndAccess, sndFormat, sndSubformat         = 0, 1, 2 // masks
	sndChannels, sndRate, sndPeriod, sndBuffer = 2, 3, 5, 9
	sndInteger                                 = 4
	sndInterleaved                             = 3
)

// playSound (BITS:RATE:FRAMES) plays a tone in stereo on the first sound card, samples of 16 or 32 bits, and waits until it has been heard.
func playSound(args string) error {
	var bits, rate, frames int
	if _, err := fmt.Sscanf(args, "%d:%d:%d", &bits, &rate, &frames); err != nil {
		return err
	}
	const device = "/dev/snd/pcmC0D0p"
	if err := setup.WaitFor(device, 20*time.Second); err != nil {
		return err
	}
	if err := unmute("/dev/snd/controlC0"); err != nil {
		return err
	}
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	format := uint32(2) // S16_LE
	if bits == 32 {
		format = 10
	}
	if err := ioctl(f, sndHWParams, soundParameters(format, rate)); err != nil {
		return err
	}
	if err := unix.IoctlSetInt(int(f.Fd()), sndPrepare, 0); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	var b []byte
	for i := range frames {
		left, right := toneAt(i)
		if bits == 32 {
			b = binary.LittleEndian.AppendUint32(b, uint32(left)<<16|uint32(i)&0xffff)
			b = binary.LittleEndian.AppendUint32(b, uint32(right)<<16)
		} else {
			b = binary.LittleEndian.AppendUint16(b, uint16(left))
			b = binary.LittleEndian.AppendUint16(b, uint16(right))
		}
	}
	start := time.Now()
	if _, err := f.Write(b); err != nil {
		return err
	}
	if err := unix.IoctlSetInt(int(f.Fd()), sndDrain, 0); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	say("sound took %d ms", time.Since(start).Milliseconds())
	return nil
}

// soundParameters asks for a format, in a buffer of one second with ten periods.
func soundParameters(format uint32, rate int) []byte {
	le := binary.LittleEndian
	p := make([]byte, sndParamsSize)
	for i := 4; i < sndRequested; i++ {
		p[i] = 0xff // anything
	}
	for i := range 21 {
		le.PutUint32(p[sndIntervals+i*sndInterval:], 0)
		le.PutUint32(p[sndIntervals+i*sndInterval+8:], 0)
	}
	le.PutUint32(p[sndRequested:], math.MaxUint32)
	le.PutUint32(p[sndInfo:], math.MaxUint32)
	for mask, v := range map[int]uint32{sndAccess: sndInterleaved, sndFormat: format, sndSubformat: 0} {
		at := 4 + mask*sndMask
		clear(p[at : at+sndMask])
		le.PutUint32(p[at:], 1<<v)
	}
	for interval, v := range map[int]uint32{sndChannels: 2, sndRate: uint32(rate), sndPeriod: uint32(rate / 10), sndBuffer: uint32(rate)} {
		at := sndIntervals + interval*sndInterval
		le.PutUint32(p[at:], v)
		le.PutUint32(p[at+4:], v)
		le.PutUint32(p[at+8:], sndInteger)
	}
	return p
}

// toneAt is frame i of the tone.
func toneAt(i int) (left, right int16) {
	return int16(20000 * math.Sin(2*math.Pi*440*float64(i)/48000)), int16(i * 7919)
}
