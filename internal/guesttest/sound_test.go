package guesttest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// TestSound has Linux's snd_hda_intel play a tone that is longer than its buffer, in the time that the tone lasts. Every sample arrives as it is.
func TestSound(t *testing.T) {
	for _, test := range []struct{ bits, rate int }{{16, 48000}, {32, 96000}} {
		t.Run(fmt.Sprint(test.bits), func(t *testing.T) {
			frames := test.rate * 3 / 2
			f := newPCFile(t, fmt.Sprintf("sound:%d:%d:%d,dmesg", test.bits, test.rate, frames))
			f.set("sound.present", "TRUE")
			f.set("sound.virtualDev", "hdaudio")
			file := filepath.Join(f.dir, "sound.wav")
			g := f.start(t, "--sound-file", file)
			g.finish()
			checkWAV(t, file, test.bits, test.rate, frames)
			took := g.said(`^sound took (\d+) ms$`)
			if len(took) != 1 {
				t.Fatalf("the guest said %v of the time", took)
			}
			// The drain ends with a period; emulation may add to that, but nothing makes time go faster.
			if ms, _ := strconv.Atoi(took[0][1]); ms < 1450 || ms > 6000 {
				t.Errorf("1.5 s of sound took %d ms", ms)
			}
			t.Log(took[0][0])
		})
	}
}

// checkWAV checks that a file begins with the guest's tone, after which only silence may follow.
func checkWAV(t *testing.T, file string, bits, rate, frames int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const header = 44
	le := binary.LittleEndian
	if len(b) < header || string(b[:4]) != "RIFF" || int(le.Uint32(b[24:])) != rate || int(le.Uint16(b[34:])) != bits || le.Uint16(b[22:]) != 2 {
		t.Fatalf("a file of %d bytes that begins with %x", len(b), b[:min(len(b), header)])
	}
	var want []byte
	for i := range frames {
		left, right := int16(20000*math.Sin(2*math.Pi*440*float64(i)/48000)), int16(i*7919)
		if bits == 32 {
			want = le.AppendUint32(want, uint32(left)<<16|uint32(i)&0xffff)
			want = le.AppendUint32(want, uint32(right)<<16)
		} else {
			want = le.AppendUint16(want, uint16(left))
			want = le.AppendUint16(want, uint16(right))
		}
	}
	got := b[header:]
	if len(got) < len(want) {
		t.Fatalf("%d bytes of sound arrived, the guest played %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("byte %d of %d is %#x, the guest played %#x", i, len(want), got[i], want[i])
		}
	}
	t.Logf("%d bytes of the tone, %d after it", len(want), len(got)-len(want))
	if tail := got[len(want):]; len(tail) > rate*bits/4/5 && !bytes.Equal(tail, make([]byte, len(tail))) {
		t.Errorf("%d bytes follow the tone", len(tail))
	}
}
