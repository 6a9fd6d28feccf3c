package vmx

import (
	"math"
	"strconv"
	"strings"

	"github.com/sharevm/vmm/config"
)

const limitPrefix = vmmPrefix + "limit."

// limits reads the vmm.limit.* keys.
func (l *loader) limits() {
	for _, key := range l.f.Keys() {
		name, ok := strings.CutPrefix(fold(key), limitPrefix)
		if !ok {
			continue
		}
		value, _ := l.str(key)
		if err := l.m.Limits.Set(name, value); err != nil {
			l.refuse(key, "", "%v", err)
		}
	}
}

// caps reads the limits of one disk, as VMware spells them: a number and a unit, or "off".
func (l *loader) caps(name string, d *config.Disk) {
	for _, key := range []string{name + ".throughputCap", "sched." + name + ".throughputCap"} {
		d.OpsCap = l.capacity(key, map[string]float64{"": 1, "iops": 1, "kiops": 1e3, "miops": 1e6, "giops": 1e9}, d.OpsCap)
	}
	d.BytesCap = l.capacity("sched."+name+".bandwidthCap", map[string]float64{"": 1, "bps": 1, "kbps": 1 << 10, "mbps": 1 << 20, "gbps": 1 << 30}, d.BytesCap)
}

// capacity reads a number that may have one of the units behind it; def where the key is missing or holds none.
func (l *loader) capacity(key string, units map[string]float64, def int64) int64 {
	s := l.word(key)
	if s == "" || s == "off" || s == "-1" {
		return def
	}
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	factor, known := units[strings.TrimSpace(s[digits:])]
	n, err := strconv.ParseUint(s[:digits], 10, 40)
	if err != nil || !known || n == 0 || float64(n)*factor > math.MaxInt64/2 {
		l.refuse(key, `set it to "off"`, "%q is not a limit", clip(s))
		return def
	}
	return int64(float64(n) * factor)
}

// limits writes the vmm.limit.* keys.
func (w *writer) limits() {
	for name, value := range w.m.Limits.Named {
		w.set(limitPrefix+name, value)
	}
}

// caps writes the limits of one disk.
func (w *writer) caps(name string, d *config.Disk) {
	w.number("sched."+name+".throughputCap", d.OpsCap, 0)
	w.number("sched."+name+".bandwidthCap", d.BytesCap, 0)
}
