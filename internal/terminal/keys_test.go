package terminal

import (
	"slices"
	"testing"
)

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		name     string
		keys     Keys
		in       []string
		out      string
		commands []Command
	}{
		{"text", Keys{}, []string{"ls -l\r"}, "ls -l\r", nil},
		{"interrupt", Keys{}, []string{"a\x03b"}, "ab", []Command{Interrupt}},
		{"guest's interrupt", Keys{GuestInterrupt: true}, []string{"a\x03b"}, "a\x03b", nil},
		{"escaped interrupt", Keys{}, []string{"\x1dc\x1d\x03"}, "\x03\x03", nil},
		{"all commands", Keys{}, []string{"\x1dp\x1dq\x1dr\x1dt\x1d?\x1dx\x1d!"}, "", []Command{Button, PowerOff, Reset, Times, Help, PowerOff, Help}},
		{"attached", Keys{GuestInterrupt: true, Attached: true}, []string{"\x03\x1dp\x1dq\x1dr\x1dt\x1dd\x1dx"}, "\x03", []Command{Button, Detach, Reset, Help, Detach, Detach}},
		{"escape itself", Keys{}, []string{"a\x1d\x1db"}, "a\x1db", nil},
		{"split between reads", Keys{}, []string{"a\x1d", "q", "b"}, "ab", []Command{PowerOff}},
	} {
		var out []byte
		var got []Command
		for _, s := range c.in {
			out = append(out, c.keys.Filter([]byte(s), func(x Command) { got = append(got, x) })...)
		}
		if string(out) != c.out || !slices.Equal(got, c.commands) {
			t.Errorf("%s: %q and %v, want %q and %v", c.name, out, got, c.out, c.commands)
		}
	}
}
