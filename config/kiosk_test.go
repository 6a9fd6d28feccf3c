package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestKioskWords(t *testing.T) {
	for _, k := range []Kiosk{
		{},
		{URL: "https://example.org/a b?c=d&e=%20#f"},
		{URL: "http://10.0.2.2:8000/", Allow: []string{"example.org:443", "*.debian.org"}, Keyboard: "de(nodeadkeys)", Language: "de-DE", Proxy: "socks5://10.0.2.2:1080"},
		{URL: `quote " and 'both' \ and a = sign`},
	} {
		w := k.Words()
		if strings.ContainsAny(w, "\"'\\\n") || len(strings.Fields(w)) != strings.Count(w, "=") {
			t.Errorf("%+v: the words %q need quoting", k, w)
		}
		if got := ParseKiosk("quiet " + w + " root=/dev/vda"); !reflect.DeepEqual(got, k) {
			t.Errorf("%+v came back as %+v by way of %q", k, got, w)
		}
	}
	if got := ParseKiosk("vmm.kiosk.url vmm.kiosk.url=%zz vmm.kiosk.other=1 url=x xvmm.kiosk.url=y"); !reflect.DeepEqual(got, Kiosk{}) {
		t.Errorf("nonsense was taken for %+v", got)
	}
}

func TestKernelCmdline(t *testing.T) {
	m := Machine{Boot: Boot{Cmdline: "quiet -- sh"}}
	if got := m.KernelCmdline(); got != "quiet -- sh" {
		t.Errorf("%q", got)
	}
	m.Run.Kiosk.Language = "de"
	if got := m.KernelCmdline(); got != "vmm.kiosk.language=de quiet -- sh" {
		t.Errorf("%q", got)
	}
}
