package frontend

import (
	"strings"
	"testing"
)

func TestClipboard(t *testing.T) {
	var c Clipboard
	got := map[string]string{}
	a := c.Join(func(s string) { got["a"] = s })
	b := c.Join(func(s string) { got["b"] = s })
	a.Set("one")
	if len(got) != 1 || got["b"] != "one" {
		t.Errorf("%v", got)
	}
	clear(got)
	b.Set("one") // nothing new: an echo
	b.Set(strings.Repeat("x", MaxClipboard+1))
	if len(got) != 0 {
		t.Errorf("%d holders were told", len(got))
	}
	a.Leave()
	b.Set("two")
	if len(got) != 0 {
		t.Errorf("%v", got)
	}
}
