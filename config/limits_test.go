package config

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sharevm/vmm/internal/throttle"
)

func TestLimitValues(t *testing.T) {
	for _, test := range []struct {
		name, value string
		want        int64 // -1: refused
	}{
		{"disk.iops", "500", 500},
		{"DISK.Read.IOPS", " 7 ", 7},
		{"disk.iops", "0", 0},
		{"disk.iops", "Off", 0},
		{"disk.iops", "none", 0},
		{"disk.iops", "-1", -1},
		{"disk.iops", "1.5", -1},
		{"disk.iops", "10k", -1},
		{"disk.iops", "1125899906842625", -1},
		{"disk.bandwidth", "10M", 10 << 20},
		{"disk.bandwidth", "10MiB/s", 10 << 20},
		{"disk.bandwidth", "1.5G", 3 << 29},
		{"disk.write.bandwidth.burst", "65536", 65536},
		{"net.in", "100Mbit", 12_500_000},
		{"net.in", "100Mbit/s", 12_500_000},
		{"net.in", "2.5gbit", 312_500_000},
		{"net.out", "8 bit", 1},
		{"net.out", "1bit", -1},
		{"net.out", "infbit", -1},
		{"net.out", "1e3bit", -1},
		{"net.out", "bit", -1},
		{"cpu.quota", "1.5", 1500},
		{"cpu.quota", "150%", 1500},
		{"cpu.quota", "0.0001", -1},
		{"cpu.quota", "NaN", -1},
		{"cpu.quota", "9999", -1},
		{"cpu.shares", "1000", 1000},
		{"cpu.shares", "1000001", -1},
		{"disk", "1", -1},
		{"", "1", -1},
	} {
		var l Limits
		err := l.Set(test.name, test.value)
		if test.want < 0 {
			if !errors.Is(err, ErrLimit) || l != (Limits{}) {
				t.Errorf("%s=%s: %v, %+v; want a refusal", test.name, test.value, err, l)
			}
			continue
		}
		k, _ := findLimit(test.name)
		if got := *k.at(&l); err != nil || got != test.want {
			t.Errorf("%s=%s: %d, %v; want %d", test.name, test.value, got, err, test.want)
		}
	}
}

// full has every limit set, each to another value.
func full() (l Limits) {
	for i, k := range limits {
		*k.at(&l) = int64(i + 1)
	}
	return l
}

func TestLimitsReadBack(t *testing.T) {
	l := full()
	b, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	var got, again Limits
	if err := json.Unmarshal(b, &got); err != nil || got != l {
		t.Errorf("%s reads as %+v, %v", b, got, err)
	}
	var names []string
	for name, value := range l.Named {
		names = append(names, name)
		if err := again.Set(name, value); err != nil {
			t.Error(err)
		}
	}
	if again != l || !slices.Equal(names, LimitNames()) {
		t.Errorf("set by name: %+v of %v", again, names)
	}
}

func TestLimitsJSON(t *testing.T) {
	for _, test := range []struct {
		text string
		want Limits // unless it must be refused
		ok   bool
	}{
		{`{}`, Limits{NetIn: throttle.Rate{PerSecond: 5}}, true},
		{`{"net.in":null,"disk.iops":3,"net.out":"1K","cpu.quota":0.5}`, Limits{DiskOps: throttle.Rate{PerSecond: 3}, NetOut: throttle.Rate{PerSecond: 1024}, CPUQuota: 500}, true},
		{`{"disk.iops":1e2}`, Limits{}, false},
		{`{"disk.iops":true}`, Limits{}, false},
		{`{"disk.iops":{"a":1}}`, Limits{}, false},
		{`{"disk.iops":5,"what":1}`, Limits{}, false},
		{`[]`, Limits{}, false},
		{`"disk.iops"`, Limits{}, false},
	} {
		before := Limits{NetIn: throttle.Rate{PerSecond: 5}}
		got := before
		err := json.Unmarshal([]byte(test.text), &got)
		switch {
		case test.ok && (err != nil || got != test.want):
			t.Errorf("%s: %+v, %v", test.text, got, err)
		case !test.ok && (err == nil || got != before):
			t.Errorf("%s is taken: %+v", test.text, got)
		}
	}
}

func TestValidateLimits(t *testing.T) {
	m := New("m")
	m.Limits.NetIn.Burst = -1
	if err := m.Validate(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "net.in.burst") {
		t.Error(err)
	}
}
