package main

import (
	"strings"
	"testing"
)

func TestParseSmaps(t *testing.T) {
	const smaps = `00400000-00500000 r-xp 00000000 08:01 1 /bin/vmm
Size:               1024 kB
Pss:                 700 kB
Pss_Dirty:             0 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
c000000000-c000400000 rw-p 00000000 00:00 0
Pss:                  40 kB
Anonymous:            40 kB
7f0000000000-7f0020000000 rw-s 00000000 00:01 9 /memfd:vmm-guest-ram (deleted)
Pss:              123456 kB
Anonymous:             8 kB
7f0030000000-7f0050000000 ---p 00000000 00:00 0
Pss:                   1 kB
Anonymous:             0 kB
`
	got, err := parseSmaps(strings.NewReader(smaps), 512<<20)
	if want := (footprint{pss: 741 << 10, anonymous: 40 << 10}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for name, c := range map[string]struct {
		smaps string
		ram   uint64
	}{
		"no RAM":      {smaps, 1 << 30},
		"RAM twice":   {strings.ReplaceAll(smaps, "---p", "rw-p"), 512 << 20},
		"no number":   {strings.ReplaceAll(smaps, "700 kB", "many"), 512 << 20},
		"no mapping":  {"Pss: 1 kB\nwhat is this\n", 512 << 20},
		"wrong range": {"500-400 rw-p\n", 512 << 20},
	} {
		if _, err := parseSmaps(strings.NewReader(c.smaps), c.ram); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestQuoted(t *testing.T) {
	if got, want := quoted([]string{"a", "b c", "d'e", ""}), `a 'b c' 'd'\''e' ''`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
