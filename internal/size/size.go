// Package size reads and writes amounts of bytes the way people type them: 512M, 4G, 1.5T; powers of 1024.
package size

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

var units = []struct {
	suffix string
	bytes  int64
}{{"T", 1 << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}}

// ErrSyntax is wrapped by Parse's errors.
var ErrSyntax = errors.New("not a size (want a number with K, M, G or T behind it, such as 512M)")

// Parse reads a size. A number without a unit counts bytes; KB, KiB and k mean the same as K.
func Parse(s string) (int64, error) {
	text := strings.ToUpper(strings.TrimSpace(s))
	text = strings.TrimSuffix(strings.TrimSuffix(text, "B"), "I")
	factor := int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(text, u.suffix); ok {
			text, factor = rest, u.bytes
			break
		}
	}
	if n, err := strconv.ParseUint(text, 10, 63); err == nil {
		if int64(n) > math.MaxInt64/factor {
			return 0, fmt.Errorf("%q: %w: it is too large", s, ErrSyntax)
		}
		return int64(n) * factor, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0) || factor == 1 || strings.ContainsAny(text, "EXPN_") || f*float64(factor) >= math.MaxInt64 {
		return 0, fmt.Errorf("%q: %w", s, ErrSyntax)
	}
	return int64(f * float64(factor)), nil
}

// Format writes a size with the largest unit that needs at most one decimal digit of precision lost.
func Format(n int64) string {
	for _, u := range units {
		if n >= u.bytes {
			if n%u.bytes == 0 {
				return fmt.Sprintf("%d %siB", n/u.bytes, u.suffix)
			}
			return fmt.Sprintf("%.1f %siB", float64(n)/float64(u.bytes), u.suffix)
		}
	}
	return fmt.Sprintf("%d B", n)
}
