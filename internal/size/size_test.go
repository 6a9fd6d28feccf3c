package size

import (
	"errors"
	"testing"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "512": 512, "1k": 1024, "4K": 4096, "80G": 80 << 30, "80GB": 80 << 30, "80GiB": 80 << 30, "1.5G": 3 << 29, " 256m ": 256 << 20, "2t": 2 << 40,
		"8388607T": 8388607 << 40,
	} {
		if got, err := Parse(s); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "G", "-1", "-1G", "1.5", "9999999999T", "8388608T", "1e3G", "0x10M", "nanG", "infG", "1_0G", "10 X", "1G1"} {
		if got, err := Parse(s); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
}

func TestFormat(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 80 << 30: "80 GiB", 3 << 40: "3 TiB"} {
		if got := Format(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
