package audio

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sharevm/vmm/internal/clock"
)

var cd = Format{Rate: 44100, Channels: 2, Bits: 16}

func TestFormat(t *testing.T) {
	for _, test := range []struct {
		f    Format
		good bool
	}{
		{cd, true}, {Format{192000, 1, 32}, true}, {Format{}, false}, {Format{44100, 3, 16}, false}, {Format{44100, 2, 24}, false}, {Format{192001, 2, 16}, false},
	} {
		if err := test.f.Check(); (err == nil) != test.good {
			t.Errorf("%v: %v", test.f, err)
		}
	}
	if d := cd.Duration(cd.Second() / 2); d != time.Second/2 {
		t.Errorf("half a second lasts %v", d)
	}
}

func TestNull(t *testing.T) {
	c := clock.NewFake(time.Unix(1, 0))
	s, err := Null{Clock: c}.Open(cd)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		write   int
		advance time.Duration
		want    time.Duration
	}{{0, 0, 0}, {cd.Second(), 0, time.Second}, {0, 300 * time.Millisecond, 700 * time.Millisecond}, {cd.Second(), time.Second, 700 * time.Millisecond}, {0, time.Hour, 0}} {
		s.Write(make([]byte, test.write))
		c.Advance(test.advance)
		if got := s.Latency(); got != test.want {
			t.Errorf("%d bytes, %v later: latency %v, want %v", test.write, test.advance, got, test.want)
		}
	}
}

// TestWAV plays two streams through an output into a file, muted in between.
func TestWAV(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sound.wav")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	o := NewOutput(NewWAV(f))
	open := func() Stream {
		s, err := o.Open(cd)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	s.Write([]byte{1, 2, 3, 4})
	o.Mute(true)
	s.Write(bytes.Repeat([]byte{9}, 3*len(silence)+8))
	o.Mute(false)
	s.Close()
	if _, err := o.Open(Format{48000, 2, 16}); err == nil {
		t.Error("a stream of another format fits")
	}
	if _, err := o.Open(Format{}); err == nil {
		t.Error("no format is a format")
	}
	s = open()
	s.Write([]byte{5, 6, 7, 8})
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := append([]byte{1, 2, 3, 4}, make([]byte, 3*len(silence)+8)...)
	want = append(want, 5, 6, 7, 8)
	if !bytes.Equal(got[wavHeader:], want) {
		t.Errorf("%d bytes of samples, want %d", len(got)-wavHeader, len(want))
	}
	le := binary.LittleEndian
	if string(got[:4]) != "RIFF" || le.Uint32(got[4:]) != uint32(len(got)-8) || le.Uint32(got[24:]) != 44100 || le.Uint32(got[40:]) != uint32(len(want)) {
		t.Errorf("header %x", got[:wavHeader])
	}
}
