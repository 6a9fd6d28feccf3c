package x11

import (
	"encoding/binary"
	"testing"
)

func TestParseDisplay(t *testing.T) {
	for name, want := range map[string]address{
		":0":              {"unix", "/tmp/.X11-unix/X0", "0", 0},
		"unix:7.1":        {"unix", "/tmp/.X11-unix/X7", "7", 1},
		"/run/me/x:2":     {"unix", "/run/me/x:2", "2", 0},
		"localhost:10.0":  {"tcp", "localhost:6010", "10", 0},
		"[::1]:1":         {"tcp", "[::1]:6001", "1", 0},
		"":                {},
		"0":               {},
		":":               {},
		":x":              {},
		":-1":             {},
		":99999":          {},
		":0.x":            {},
		":0.999999999999": {},
	} {
		a, err := parseDisplay(name)
		if (err == nil) != (want != address{}) || err == nil && a != want {
			t.Errorf("%q: %+v, %v; want %+v", name, a, err, want)
		}
	}
}

func TestFindCookie(t *testing.T) {
	entry := func(family uint16, fields ...string) (b []byte) {
		b = binary.BigEndian.AppendUint16(nil, family)
		for _, f := range fields {
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(f))), f...)
		}
		return b
	}
	file := append(entry(familyLocal, "other", "0", magicCookie, "wrong host"), entry(familyLocal, "me", "1", magicCookie, "wrong number")...)
	file = append(file, entry(familyWild, "", "0", "XDM-AUTHORIZATION-1", "wrong kind")...)
	file = append(file, entry(familyLocal, "me", "0", magicCookie, "0123456789abcdef")...)
	if name, data := findCookie(file, "me", "0"); name != magicCookie || data != "0123456789abcdef" {
		t.Errorf("%q %q", name, data)
	}
	for n := range file { // any part of it
		if _, data := findCookie(file[:n], "me", "0"); data != "" {
			t.Errorf("%q in %d bytes", data, n)
		}
	}
	hello := address{number: "0"}.hello()
	if len(hello)%4 != 0 || hello[0] != 'l' {
		t.Errorf("%q", hello)
	}
}
