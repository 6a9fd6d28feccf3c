package volume

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestClearBits compares with a bit by bit count, at all remainders of bytes and words.
func TestClearBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := int64(0); n < 400; n++ {
		bitmap := make([]byte, (n+7)/8)
		for k := range bitmap {
			// Mostly full or empty bytes, so that runs cross words.
			bitmap[k] = []byte{0, 0, 0, 0xff, 0xff, 0xff, byte(rng.Uint32())}[rng.IntN(7)]
		}
		got := make([]bool, n)
		last := int64(-1)
		err := ClearBits(bitmap, n, func(first, count int64) error {
			if count < 1 || first <= last {
				t.Fatalf("run of %d at %d after one that ends at %d", count, first, last)
			}
			for k := first; k < first+count; k++ {
				got[k] = true
			}
			last = first + count
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for k := range got {
			if want := bitmap[k/8]>>(k%8)&1 == 0; got[k] != want {
				t.Fatalf("bit %d of %d: clear %v, want %v", k, n, got[k], want)
			}
		}
	}
}

func TestClearBitsStops(t *testing.T) {
	stop := errors.New("stop")
	if err := ClearBits([]byte{0b101010}, 8, func(int64, int64) error { return stop }); err != stop {
		t.Fatal(err)
	}
}

func TestMerger(t *testing.T) {
	var got [][2]int64
	m := Merger{Yield: func(off, length int64) error { got = append(got, [2]int64{off, length}); return nil }}
	for _, r := range [][2]int64{{0, 4}, {4, 4}, {10, 0}, {10, 2}, {12, 1}, {20, 5}} {
		if err := m.Add(r[0], r[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(m.Flush(), m.Flush()); err != nil {
		t.Fatal(err)
	}
	want := [][2]int64{{0, 8}, {10, 3}, {20, 5}}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for k := range want {
		if got[k] != want[k] {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}

func TestReader(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := Reader{strings.NewReader("0123456789"), 12}
	p := make([]byte, 4)
	if err := r.Read(ctx, p, 6); err != nil || string(p) != "6789" {
		t.Fatal(err, p)
	}
	for _, off := range []int64{-1, 9, 13, 1 << 62} {
		if err := r.Read(ctx, p, off); Reason(err) == "" {
			t.Errorf("at %d: %v is not a refusal", off, err)
		}
	}
	if err := r.Read(ctx, p, 8); !errors.Is(err, io.ErrUnexpectedEOF) || Reason(err) != "" {
		t.Errorf("a disk that ends early: %v", err)
	}
	cancel()
	if err := r.Read(ctx, p, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
