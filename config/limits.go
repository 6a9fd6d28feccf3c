package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/sharevm/vmm/internal/size"
	"github.com/sharevm/vmm/internal/throttle"
)

// Limits bound what a machine takes from its host, whatever its guest does. The zero value is no limit. Each limit has a name, which is
// the same on command lines, in JSON, and behind "vmm.limit." in a .vmx: see [LimitNames].
type Limits struct {
	// All disks of the machine together. Flushes, discards and zeroes count as writes.
	DiskOps, DiskReadOps, DiskWriteOps       throttle.Rate // operations
	DiskBytes, DiskReadBytes, DiskWriteBytes throttle.Rate

	// All network cards of the machine together, bytes of Ethernet frames: In is towards the guest.
	NetIn, NetOut throttle.Rate

	CPUShares int64 // weight under contention, 1 to 1000000, 1000 being what others have; 0 = 1000
	CPUQuota  int64 // processors in thousandths: 1500 is one and a half; 0 = all
}

// The greatest shares and quota.
const (
	MaxShares = 1_000_000
	MaxQuota  = MaxCPUs * 1000
)

// unit says how a limit's value is written.
type unit int

const (
	plain unit = iota // a number
	bytes             // bytes, or bits with a suffix such as Mbit
	cpus              // thousandths, written as 1.5 or 150%
)

// limit is one named value of Limits.
type limit struct {
	name string
	unit unit
	most int64
	at   func(*Limits) *int64
}

// limits is every named value.
var limits = func() (all []limit) {
	const most = 1 << 50
	for _, r := range []struct {
		name string
		unit unit
		at   func(*Limits) *throttle.Rate
	}{
		{"disk.iops", plain, func(l *Limits) *throttle.Rate { return &l.DiskOps }},
		{"disk.read.iops", plain, func(l *Limits) *throttle.Rate { return &l.DiskReadOps }},
		{"disk.write.iops", plain, func(l *Limits) *throttle.Rate { return &l.DiskWriteOps }},
		{"disk.bandwidth", bytes, func(l *Limits) *throttle.Rate { return &l.DiskBytes }},
		{"disk.read.bandwidth", bytes, func(l *Limits) *throttle.Rate { return &l.DiskReadBytes }},
		{"disk.write.bandwidth", bytes, func(l *Limits) *throttle.Rate { return &l.DiskWriteBytes }},
		{"net.in", bytes, func(l *Limits) *throttle.Rate { return &l.NetIn }},
		{"net.out", bytes, func(l *Limits) *throttle.Rate { return &l.NetOut }},
	} {
		all = append(all,
			limit{r.name, r.unit, most, func(l *Limits) *int64 { return &r.at(l).PerSecond }},
			limit{r.name + ".burst", r.unit, most, func(l *Limits) *int64 { return &r.at(l).Burst }})
	}
	return append(all,
		limit{"cpu.shares", plain, MaxShares, func(l *Limits) *int64 { return &l.CPUShares }},
		limit{"cpu.quota", cpus, MaxQuota, func(l *Limits) *int64 { return &l.CPUQuota }})
}()

// LimitNames lists the names of all limits. Those of bandwidths and of the network are bytes per second; NAME.burst is what may go at once
// after a rest, by default what a quarter of a second brings.
func LimitNames() []string {
	var names []string
	for _, l := range limits {
		names = append(names, l.name)
	}
	return names
}

// ErrLimit is wrapped by errors about limits.
var ErrLimit = errors.New("not a limit")

func findLimit(name string) (limit, error) {
	for _, l := range limits {
		if strings.EqualFold(l.name, name) {
			return l, nil
		}
	}
	return limit{}, fmt.Errorf("%w: %q (known: %s)", ErrLimit, name, strings.Join(LimitNames(), " "))
}

// Set changes one limit by its name. Values are as people write them: "500", "10M" and "100Mbit" for bytes a second, "1.5" or "150%" for
// processors; "0", "off" and "none" lift the limit.
func (l *Limits) Set(name, value string) error {
	known, err := findLimit(name)
	if err != nil {
		return err
	}
	n, err := known.parse(value)
	if err != nil {
		return fmt.Errorf("%s: %w", known.name, err)
	}
	*known.at(l) = n
	return nil
}

func (k limit) parse(value string) (int64, error) {
	text := strings.TrimSpace(value)
	switch strings.ToLower(text) {
	case "0", "off", "none", "unlimited":
		return 0, nil
	}
	var n int64
	var err error
	switch k.unit {
	case bytes:
		n, err = parseBytes(text)
	case cpus:
		n, err = parseCPUs(text)
	default:
		if n, err = strconv.ParseInt(text, 10, 64); err != nil {
			err = fmt.Errorf("%w: %q is not a whole number", ErrLimit, value)
		}
	}
	switch {
	case err != nil:
		return 0, err
	case n < 1 || n > k.most:
		return 0, fmt.Errorf("%w: %q is out of range", ErrLimit, value)
	}
	return n, nil
}

// parseBytes reads bytes as package size does, and decimal multiples of bits: "100Mbit".
func parseBytes(s string) (int64, error) {
	lower := strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(s), "/s"), "ps"))
	bits, isBits := strings.CutSuffix(lower, "bit")
	if !isBits {
		n, err := size.Parse(lower)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", ErrLimit, err)
		}
		return n, nil
	}
	factor := 1.0
	for suffix, f := range map[string]float64{"k": 1e3, "m": 1e6, "g": 1e9} {
		if rest, ok := strings.CutSuffix(bits, suffix); ok {
			bits, factor = rest, f
			break
		}
	}
	n, err := decimal(bits)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is not a number of bits", ErrLimit, s)
	}
	return int64(math.Min(n*factor/8, math.MaxInt64/2)), nil
}

func parseCPUs(s string) (int64, error) {
	text, percent := strings.CutSuffix(s, "%")
	n, err := decimal(text)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is not a number of processors (1.5 or 150%%)", ErrLimit, s)
	}
	if percent {
		n /= 100
	}
	return int64(math.Round(math.Min(n, 1e9) * 1000)), nil
}

// decimal reads digits with at most one point, and nothing else that strconv knows.
func decimal(s string) (float64, error) {
	s = strings.TrimSpace(s)
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(s, 64)
}

// format is the spelling of a value that parse reads.
func (k limit) format(n int64) string {
	if k.unit == cpus {
		return strconv.FormatFloat(float64(n)/1000, 'f', -1, 64)
	}
	return strconv.FormatInt(n, 10)
}

// Named calls yield for each limit that is set, in the order of LimitNames. It is an iter.Seq2.
func (l *Limits) Named(yield func(name, value string) bool) {
	for _, k := range limits {
		if n := *k.at(l); n != 0 && !yield(k.name, k.format(n)) {
			return
		}
	}
}

// MarshalJSON writes an object of the limits that are set, by name, as numbers.
func (l Limits) MarshalJSON() ([]byte, error) {
	o := map[string]json.Number{}
	for name, value := range l.Named {
		o[name] = json.Number(value)
	}
	return json.Marshal(o)
}

// UnmarshalJSON sets the limits that an object names, and leaves the others as they are. Values are numbers, or strings as for Set; null
// lifts a limit. After an error l is unchanged.
func (l *Limits) UnmarshalJSON(b []byte) error {
	var o map[string]json.RawMessage
	if err := json.Unmarshal(b, &o); err != nil {
		return fmt.Errorf("%w: want an object of names and numbers", ErrLimit)
	}
	changed := *l
	for name, raw := range o {
		var text string
		if string(raw) == "null" {
			text = "0"
		} else if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		if err := changed.Set(name, text); err != nil {
			return err
		}
	}
	*l = changed
	return nil
}

// valid says whether every value is one that Set would take.
func (l *Limits) valid() error {
	for _, k := range limits {
		if n := *k.at(l); n < 0 || n > k.most {
			return fmt.Errorf("limit %s is %d, must be 0 to %d", k.name, n, k.most)
		}
	}
	return nil
}
