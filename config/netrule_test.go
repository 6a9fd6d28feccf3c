package config

import (
	"strings"
	"testing"
)

func TestParseNetRule(t *testing.T) {
	for text, want := range map[string]string{ // "" is refused
		"example.org":             "example.org",
		" Example.ORG.:443 ":      "example.org:443",
		"*.debian.org:443/tcp":    "*.debian.org:443/tcp",
		"*":                       "*",
		"*:443":                   "*:443",
		"a_b.example-1.org/udp":   "a_b.example-1.org/udp",
		"192.0.2.0/24":            "192.0.2.0/24",
		"192.0.2.0/24:80":         "192.0.2.0/24:80",
		"192.0.2.0/24/udp":        "192.0.2.0/24/udp",
		"192.0.2.7":               "192.0.2.7",
		"192.0.2.7/32":            "192.0.2.7",
		"192.0.2.7:53/udp":        "192.0.2.7:53/udp",
		"0.0.0.0/0:443":           "0.0.0.0/0:443",
		"localhost":               "localhost",
		"":                        "",
		":443":                    "",
		"/tcp":                    "",
		"192.0.2.1/24":            "",
		"192.0.2.300":             "",
		"192.0.2":                 "",
		"192.0.2.0/33":            "",
		"::1":                     "",
		"2001:db8::/32":           "",
		"example.org:0":           "",
		"example.org:65536":       "",
		"example.org:http":        "",
		"example.org:443/icmp":    "",
		"*example.org":            "",
		"*.":                      "",
		"*.*.org":                 "",
		"a..org":                  "",
		"-a.org":                  "",
		"a b.org":                 "",
		"b\u00fccher.example":     "",
		strings.Repeat("a", 64):   "",
		strings.Repeat("a.", 128): "",
		"https://example.org":     "",
		"example.org/tcp/udp":     "",
		"example.org:443/tcp:80":  "",
	} {
		r, err := ParseNetRule(text)
		got := r.String()
		if err != nil {
			got = ""
		}
		if got != want {
			t.Errorf("%q reads as %q, %v; want %q", text, got, err, want)
		}
		if again, err := ParseNetRule(got); got != "" && (err != nil || again != r) {
			t.Errorf("%q does not read back: %+v, %v", got, again, err)
		}
	}
}

func TestNetRuleLocal(t *testing.T) {
	for text, want := range map[string]bool{"example.org": false, "192.168.1.1": true, "10.0.0.0/8:80": true, "10.0.0.0/7": false, "0.0.0.0/0": false, "192.0.2.1": false} {
		if r, err := ParseNetRule(text); err != nil || r.Local() != want {
			t.Errorf("%s: %v, %v", text, r.Local(), err)
		}
	}
}
