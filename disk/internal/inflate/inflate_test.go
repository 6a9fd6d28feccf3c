package inflate

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

// samples are contents of all kinds.
func samples() map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	noise, few, skewed := make([]byte, 100<<10), make([]byte, 100<<10), make([]byte, 100<<10)
	for k := range noise {
		noise[k] = byte(rng.Uint32())
		few[k] = byte(rng.IntN(16))
		skewed[k] = byte(rng.ExpFloat64() * 3) // codes of all lengths
	}
	var text []byte
	for k := range 5000 {
		text = fmt.Appendf(text, "line %d of many, of which %d are odd\n", k, k/2)
	}
	runs := make([]byte, 0, 100<<10)
	for len(runs) < cap(runs)-1000 { // copies of all distances and lengths
		if n := len(runs); n > 0 && rng.IntN(2) == 0 {
			from := n - 1 - rng.IntN(min(n, []int{3, 10, 300, 32768}[rng.IntN(4)]))
			for range 3 + rng.IntN(300) {
				runs = append(runs, runs[from])
				from++
			}
		} else {
			runs = append(runs, byte(rng.Uint32()))
		}
	}
	return map[string][]byte{
		"nothing": nil, "a byte": {7}, "zeroes": make([]byte, 70<<10), "noise": noise, "few": few, "skewed": skewed, "text": text, "runs": runs,
	}
}

func pack(t testing.TB, p []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestDecode decodes all levels, with room to spare, just enough, and not enough.
func TestDecode(t *testing.T) {
	var d Decoder
	for name, want := range samples() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
			packed := pack(t, want, level)
			for _, spare := range []int{0, 1, 100, 1000} {
				dst := make([]byte, len(want)+spare)
				n, used, err := d.Decode(dst, append(bytes.Clone(packed), "rest"...))
				if err != nil || n != len(want) || used != len(packed) || !bytes.Equal(dst[:n], want) {
					t.Errorf("%s, level %d, %d bytes spare: %d of %d bytes, %d of %d used, %v", name, level, spare, n, len(want), used, len(packed), err)
				}
			}
			for _, short := range []int{1, 50, 300} {
				if short > len(want) {
					continue
				}
				dst := make([]byte, len(want)-short)
				if n, _, err := d.Decode(dst, packed); err != ErrLong || n != len(dst) || !bytes.Equal(dst, want[:n]) {
					t.Errorf("%s, level %d, %d bytes short: %d of %d, %v", name, level, short, n, len(dst), err)
				}
			}
			for _, cut := range []int{1, 5, 20, len(packed) / 2, len(packed)} {
				if cut > len(packed) {
					continue
				}
				dst := make([]byte, len(want)+1)
				if n, _, err := d.Decode(dst, packed[:len(packed)-cut]); err != io.ErrUnexpectedEOF || !bytes.Equal(dst[:n], want[:n]) {
					t.Errorf("%s, level %d, cut off %d bytes early: %d bytes, %v", name, level, cut, n, err)
				}
			}
		}
	}
}

// TestZlib checks what is around a stream.
func TestZlib(t *testing.T) {
	want := samples()["text"]
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(want)
	w.Close()
	sound := b.Bytes()
	var d Decoder
	dst := make([]byte, len(want))
	if n, err := d.DecodeZlib(dst, sound); err != nil || !bytes.Equal(dst[:n], want) {
		t.Errorf("%d bytes, %v", n, err)
	}
	for name, c := range map[string]struct {
		at   int
		xor  byte
		want error
	}{
		"method": {0, 1, ErrInvalid}, "window": {0, 0x80, ErrInvalid}, "dictionary": {1, 0x20, ErrInvalid}, "check": {1, 1, ErrInvalid},
		"sum": {len(sound) - 1, 1, ErrChecksum},
	} {
		bad := bytes.Clone(sound)
		bad[c.at] ^= c.xor
		if _, err := d.DecodeZlib(dst, bad); err != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for n := range 6 {
		p := sound[:n]
		if n >= 2 {
			p = sound[:len(sound)-n+1]
		}
		if _, err := d.DecodeZlib(dst, p); err != io.ErrUnexpectedEOF {
			t.Errorf("%d bytes: %v", len(p), err)
		}
	}
}

// FuzzDecode expects of every stream what the standard library makes of it.
func FuzzDecode(f *testing.F) {
	for _, p := range samples() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 9} {
			f.Add(pack(f, p[:min(len(p), 3000)], level), uint16(2900))
		}
	}
	f.Add([]byte{4, 0xc0, 1, 8, 0, 0, 0, 0x80, 0x40, 0, 0, 0}, uint16(10)) // codes of a single bit
	var d Decoder
	f.Fuzz(func(t *testing.T, src []byte, room uint16) {
		in := bytes.NewReader(src)
		want := make([]byte, room)
		r := flate.NewReader(in)
		wantN, werr := io.ReadFull(r, want)
		if werr == nil {
			if n, err := r.Read(make([]byte, 1)); n > 0 {
				werr = ErrLong
			} else if err != io.EOF {
				werr = err
			}
		} else if werr == io.EOF || werr == io.ErrUnexpectedEOF && r.Close() == nil {
			werr = nil // it ended before the room did
			if _, err := r.Read(make([]byte, 1)); err != io.EOF {
				werr = err
			}
		}
		dst := make([]byte, room)
		n, used, err := d.Decode(dst, src)
		if used > len(src) || n > len(dst) {
			t.Fatalf("%d of %d bytes used, %d of %d filled", used, len(src), n, len(dst))
		}
		if !bytes.Equal(dst[:min(n, wantN)], want[:min(n, wantN)]) {
			t.Fatalf("the first %d bytes differ", min(n, wantN))
		}
		if (err == nil) != (werr == nil) {
			t.Fatalf("%d bytes, %v; want %d, %v", n, err, wantN, werr)
		}
		if err == nil && (n != wantN || used != len(src)-in.Len()) {
			t.Fatalf("%d bytes, %d used; want %d, %d", n, used, wantN, len(src)-in.Len())
		}
		if errors.Is(err, ErrLong) && n != len(dst) {
			t.Fatalf("too long, but %d of %d", n, len(dst))
		}
	})
}

// BenchmarkDecode decodes blocks of 64 KiB.
func BenchmarkDecode(b *testing.B) {
	for name, p := range samples() {
		if len(p) < 64<<10 {
			continue
		}
		p = p[:64<<10]
		packed := pack(b, p, 6)
		out := make([]byte, len(p))
		b.Run(name+"/ours", func(b *testing.B) {
			var d Decoder
			b.ReportAllocs()
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if _, _, err := d.Decode(out, packed); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/std", func(b *testing.B) {
			r := flate.NewReader(nil)
			in := bytes.NewReader(nil)
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				in.Reset(packed)
				if err := r.(flate.Resetter).Reset(in, nil); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(r, out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
