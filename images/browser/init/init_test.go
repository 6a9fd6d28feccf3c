package main

import (
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/config"
)

func TestBackoff(t *testing.T) {
	var b backoff
	var waits []time.Duration
	for range 9 {
		waits = append(waits, b.after(time.Second))
	}
	for i, w := range waits {
		if w < firstWait || w > longWait || i > 0 && w < waits[i-1] {
			t.Fatalf("waits %v", waits)
		}
	}
	if waits[8] != longWait {
		t.Errorf("after nine crashes in a row: %v", waits[8])
	}
	if w := b.after(healthy); w != firstWait {
		t.Errorf("after a long run: %v", w)
	}
}

func TestArguments(t *testing.T) {
	args := arguments(config.Kiosk{URL: "https://example.org/", Language: "de-DE", Proxy: "socks5://10.0.2.2:1080"})
	for _, want := range []string{"--kiosk", "--lang=de-DE", "--accept-lang=de-DE", "--proxy-server=socks5://10.0.2.2:1080"} {
		if !slices.Contains(args, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if args[len(args)-1] != "https://example.org/" {
		t.Errorf("page %q", args[len(args)-1])
	}
	for _, url := range []string{"", "--no-sandbox"} {
		args := arguments(config.Kiosk{URL: url})
		if args[len(args)-1] != startPage || slices.Contains(args, "--no-sandbox") {
			t.Errorf("start page %q gives %q", url, args)
		}
	}
	for _, never := range []string{"--no-sandbox", "--in-process-gpu", "--single-process", "--disable-site-isolation-trials"} {
		if slices.Contains(args, never) {
			t.Errorf("%s weakens the browser", never)
		}
	}
}

func TestAllowed(t *testing.T) {
	got, all := allowed([]string{"example.org", "*.debian.org:443", "192.0.2.7", "*", "x.org/udp"})
	if want := []string{".example.org", "debian.org:443", "192.0.2.7", "*"}; !slices.Equal(got, want) || !all {
		t.Errorf("%q, %t, want %q", got, all, want)
	}
	for _, place := range []string{"192.0.2.0/24", "no place"} {
		if p := policy(config.Kiosk{Allow: []string{"example.org", place}}); p["URLBlocklist"] != nil || p["URLAllowlist"] != nil {
			t.Errorf("%s, which the network may allow, the browser forbids: %v", place, p["URLAllowlist"])
		}
	}
	if p := policy(config.Kiosk{}); p["URLBlocklist"] != nil {
		t.Error("a list without entries forbids everything")
	}
	if p := policy(config.Kiosk{Allow: []string{"example.org"}}); fmt.Sprint(p["URLAllowlist"]) != "[.example.org]" {
		t.Errorf("%v", p)
	}
}

func TestInputProperties(t *testing.T) {
	for name, c := range map[string]struct{ key, rel, abs, want string }{
		"keyboard":     {"7fffffffffffffff ffffffffffffffff fffffffffffffffe\n", "0\n", "0\n", "KEYBOARD"},
		"tablet":       {"1f0000 0 0 0 0\n", "100\n", "3\n", "MOUSE"},
		"mouse":        {"70000 0 0 0 0\n", "143\n", "0\n", "MOUSE"},
		"power button": {"8000 0\n", "0\n", "0\n", "KEYBOARD"},
		"lid":          {"0\n", "0\n", "0\n", ""},
	} {
		about := inputProperties(c.key, c.rel, c.abs)
		for _, kind := range []string{"KEYBOARD", "MOUSE"} {
			if strings.Contains(about, kind) != (kind == c.want) {
				t.Errorf("%s: %q", name, about)
			}
		}
	}
}

func TestLayout(t *testing.T) {
	for in, want := range map[string][2]string{"": {"us", ""}, "de": {"de", ""}, "de(nodeadkeys)": {"de", "nodeadkeys"}, "us,ru": {"us,ru", ""}} {
		if l, v := splitLayout(in); l != want[0] || v != want[1] {
			t.Errorf("%q: %q, %q", in, l, v)
		}
	}
}

func TestEnvironment(t *testing.T) {
	const late = "WLR_LIBINPUT_NO_DEVICES=1"
	if slices.Contains(environment(config.Kiosk{}, true), late) {
		t.Error("the compositor finds devices only when the first is used")
	}
	if !slices.Contains(environment(config.Kiosk{}, false), late) {
		t.Error("the compositor ends where there is nothing to type on")
	}
}

func TestStat(t *testing.T) {
	busy, total := parseStat("cpu  10 1 5 100 20 2 3 4 50 6\ncpu0 1 1 1 1\n")
	if busy != 41 || total != 145 { // what others took of the processors is no work
		t.Errorf("%d of %d", busy, total)
	}
	for _, bad := range []string{"", "cpu", "intr 1 2 3 4 5 6 7 8 9", "cpu a b c d e f g h"} {
		if b, n := parseStat(bad); b != 0 || n != 0 {
			t.Errorf("%q: %d of %d", bad, b, n)
		}
	}
}

func TestTail(t *testing.T) {
	var said tail
	for range 3 * tailLen / 8 {
		if n, err := said.Write([]byte("seven..\n")); n != 8 || err != nil {
			t.Fatal(n, err)
		}
	}
	said.Write([]byte("the end"))
	if s := said.text(); len(s) > tailLen || !strings.HasSuffix(s, "the end") {
		t.Errorf("%d bytes: %q", len(s), s)
	}
}

func TestFilter(t *testing.T) {
	var console strings.Builder
	f := filter{to: &console}
	for _, part := range []string{"noise\nbrow", "ser: 1 s: started\nmore ", "noise\n", "browser: 2 s: ended\nhalf"} {
		if n, err := f.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got, want := console.String(), "browser: 1 s: started\nbrowser: 2 s: ended\n"; got != want {
		t.Errorf("on the console %q", got)
	}
	if got, want := f.text(), "noise\nmore noise"; got != want {
		t.Errorf("kept %q", got)
	}
	f.Write(make([]byte, 1<<20))
	if len(f.line) > maxLine || len(f.text()) > tailLen {
		t.Errorf("%d and %d bytes are kept", len(f.line), len(f.text()))
	}
}

func TestCertificates(t *testing.T) {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("one")})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("two")})...)
	if got := certificates(text); !slices.Equal(got, []string{"b25l", "dHdv"}) {
		t.Errorf("%q", got)
	}
}
