package guesttest

import (
	"fmt"
	"strings"
	"testing"
)

// TestKeysAndPointer types and points through the control socket: Linux's virtio_input must hand exactly that to the guest's programs.
func TestKeysAndPointer(t *testing.T) {
	f := newPCFile(t, "events:vmm:2")
	f.set("vmm.input", "virtio")
	g := f.start(t)
	g.expect("^input device 0: vmm keyboard/")
	g.expect("^input device 1: vmm tablet/")
	g.expect("^waiting for events$")
	for _, step := range []struct{ args, want string }{
		{"key ctrl-alt-x", "0 1 29 1, 0 1 56 1, 0 1 45 1, 0 1 45 0, 0 1 56 0, 0 1 29 0"}, // Linux restarts at ctrl-alt-delete,
		{"type aB", "0 1 30 1, 0 1 30 0, 0 1 42 1, 0 1 48 1, 0 1 48 0, 0 1 42 0"},
		{"mouse 400,300 --size 800x600 --click left", "1 3 0 16404, 1 3 1 16411, 1 1 272 1, 1 1 272 0"},
		{"mouse --wheel -2", "1 2 8 -2"},
		{"key f12", "0 1 88 1, 0 1 88 0"},
	} {
		verb, rest, _ := strings.Cut(step.args, " ")
		ask(t, append([]string{verb, status(t).ID}, strings.Fields(rest)...)...)
		for _, want := range strings.Split(step.want, ", ") {
			if got := g.expect(`^event (\d [123] .*)$`)[1]; got != want {
				t.Errorf("vmm %s: event %s, want %s", step.args, got, want)
			}
		}
	}
	g.finish()
}

// TestPauseResetStop drives a machine from outside.
func TestPauseResetStop(t *testing.T) {
	f := newFile(t, "button")
	g := f.start(t)
	g.expect("^waiting for the button$")
	id := status(t).ID
	for _, command := range []string{"pause", "pause", "resume"} {
		ask(t, command, id)
		if got, want := fmt.Sprint(status(t).State), map[string]string{"pause": "paused", "resume": "running"}[command]; got != want {
			t.Errorf("after vmm %s the machine is %s", command, got)
		}
	}
	ask(t, "reset", id)
	g.expect("^waiting for the button$")
	ask(t, "stop", id)
	g.finish()
}
